//! `InferenceModel`.

use super::{Findings, inference_pool::check_pool_ref};
use crate::{api::InferenceModel, source::field::Field};

pub(super) fn check(model: &InferenceModel, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    check_pool_ref(spec.name("poolRef"), &model.spec.pool_ref, findings);
    findings.length(spec.name("modelName"), &model.spec.model_name, 1, 256);
    let targets = spec.name("targetModels");
    findings.count(targets, model.spec.target_models.len(), 0, 10);
    for (i, target) in model.spec.target_models.iter().enumerate() {
        let item = targets.at(i);
        findings.length(item.name("name"), &target.name, 1, 253);
        if let Some(weight) = target.weight {
            findings.range(item.name("weight"), weight, 1, 1_000_000);
        }
    }
    let weighted = model.spec.target_models.iter().filter(|target| target.weight.is_some()).count();
    if weighted != 0 && weighted != model.spec.target_models.len() {
        findings.add(targets, "weights must be given for all targets or for none", "");
    }
}
