//! `InferenceObjective`.

use super::{Findings, inference_pool::check_pool_ref};
use crate::{api::InferenceObjective, source::field::Field};

pub(super) fn check(objective: &InferenceObjective, findings: &mut Findings) {
    check_pool_ref(Field::ROOT.name("spec").name("poolRef"), &objective.spec.pool_ref, findings);
}
