//! Decides which GatewayClasses and Gateways are ours.

use std::collections::BTreeMap;

use super::{
    Options, condition, parameters,
    report::{ClassReport, Conditions},
};
use crate::{
    api::{GatewayClass, NamespacedName, ParametersRef},
    world::World,
};

/// Whether the Gateway exists and is of a class that names our controller.
pub fn is_ours(world: &World, gateway: &NamespacedName, options: &Options) -> bool {
    world.gateways.get(gateway).is_some_and(|gateway| {
        let class = NamespacedName::new("", &gateway.spec.gateway_class_name);
        world.gateway_classes.get(&class).is_some_and(|class| names_us(class, options))
    })
}

/// What was found out about every GatewayClass that names our controller, by name.
///
/// Gateways of a class that is refused for its parameters keep being served, and their infrastructure stays as it is: a
/// class is a template, and changing it should not take its Gateways down.
pub fn class_reports(world: &World, options: &Options) -> BTreeMap<String, ClassReport> {
    let ours = world.gateway_classes.values().filter(|class| names_us(class, options));
    let report = |class: &GatewayClass| ClassReport {
        generation: class.metadata.generation,
        conditions: conditions(world, class),
    };
    ours.map(|class| (class.metadata.name.clone(), report(class))).collect()
}

/// Names parameters in a message.
pub(super) fn describe(parameters: &ParametersRef) -> String {
    format!("{}/{} {}", parameters.group, parameters.kind, parameters.name)
}

fn names_us(class: &GatewayClass, options: &Options) -> bool {
    class.spec.controller_name == options.controller_name
}

fn conditions(world: &World, class: &GatewayClass) -> Conditions {
    let name = &class.metadata.name;
    vec![match parameters::of_class(world, class) {
        Ok(_) => {
            condition::yes("Accepted", "Accepted", format!("GatewayClass {name} is served by Signalbox"))
        }
        Err(why) => condition::no("Accepted", "InvalidParameters", why),
    }]
}
