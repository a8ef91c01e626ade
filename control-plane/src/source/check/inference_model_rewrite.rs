//! `InferenceModelRewrite`.

use super::{Findings, inference_pool::check_pool_ref};
use crate::{api::InferenceModelRewrite, source::field::Field};

pub(super) fn check(rewrite: &InferenceModelRewrite, findings: &mut Findings) {
    let spec = Field::ROOT.name("spec");
    check_pool_ref(spec.name("poolRef"), &rewrite.spec.pool_ref, findings);
    let rules = spec.name("rules");
    for (i, rule) in rewrite.spec.rules.iter().enumerate() {
        let item = rules.at(i);
        let targets = item.name("targets");
        findings.require(!rule.targets.is_empty(), targets, "must have at least one target");
        for (j, target) in rule.targets.iter().enumerate() {
            let entry = targets.at(j);
            findings.length(entry.name("modelRewrite"), &target.model_rewrite, 1, 253);
            if let Some(weight) = target.weight {
                findings.range(entry.name("weight"), weight, 1, 1_000_000);
            }
        }
    }
}
