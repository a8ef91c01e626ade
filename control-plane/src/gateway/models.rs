//! Which models clients may name on a virtual host: what `/v1/models` lists.
//!
//! A name is listed when a request that carries it is forwarded somewhere by a route of the host:
//!
//! - values of exact matches on a model header, and the adapters of an exactly matched base model;
//! - names that a pool knows (InferenceModelRewrite, InferenceModel), where a route to the pool lets them through.
//!
//! Hosts on which no route matches a model header list nothing: there the model is none of the gateway's business.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use regex::Regex;

use super::{
    expression,
    ir::{Action, Cluster, ClusterName, ModelEntry, PathCondition, Route, TextMatch, Upstream},
};
use crate::{api::NamespacedName, world::World};

/// The header with the model's name.
pub(super) const MODEL_HEADER: &str = "x-gateway-model-name";
/// The header with the name of the model's base model.
pub(super) const BASE_MODEL_HEADER: &str = "x-gateway-base-model-name";

/// What the models of virtual hosts are looked up in.
pub(super) struct Catalogue<'a> {
    world: &'a World,
    clusters: &'a BTreeMap<ClusterName, Arc<Cluster>>,
    base_models: &'a BTreeMap<String, String>,
    by_pool: BTreeMap<NamespacedName, Arc<BTreeSet<String>>>,
}

/// Conditions of a route on the model.
struct ModelConditions {
    model: Option<Condition>,
    base: Option<Condition>,
}

enum Condition {
    Exact(String),
    Regex(Option<Regex>),
}

impl Condition {
    fn admits(&self, name: &str) -> bool {
        match self {
            Self::Exact(value) => value == name,
            Self::Regex(expression) => expression.as_ref().is_some_and(|e| e.is_match(name)),
        }
    }
}

impl ModelConditions {
    fn of(route: &Route) -> Self {
        let condition = |name: &str| {
            let header = route.matches.headers.iter().find(|h| h.name == name)?;
            Some(match &header.value {
                TextMatch::Exact(value) => Condition::Exact(value.clone()),
                TextMatch::Regex(pattern) => Condition::Regex(expression::full_match(pattern)),
            })
        };
        Self { model: condition(MODEL_HEADER), base: condition(BASE_MODEL_HEADER) }
    }

    fn admits(&self, name: &str, base_models: &BTreeMap<String, String>) -> bool {
        let base = || base_models.get(name).map_or(name, String::as_str);
        self.model.as_ref().is_none_or(|c| c.admits(name))
            && self.base.as_ref().is_none_or(|c| c.admits(base()))
    }
}

impl<'a> Catalogue<'a> {
    /// A catalogue of a Gateway's clusters.
    pub(super) fn new(
        world: &'a World,
        clusters: &'a BTreeMap<ClusterName, Arc<Cluster>>,
        base_models: &'a BTreeMap<String, String>,
    ) -> Self {
        Self { world, clusters, base_models, by_pool: BTreeMap::new() }
    }

    /// The models of a virtual host with these routes. Where several routes serve a name, the first owns it.
    pub(super) fn models(&mut self, routes: &[Arc<Route>]) -> Vec<ModelEntry> {
        if headers(routes.iter().map(|route| &**route)).is_empty() {
            return Vec::new();
        }
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        // Routes that let every model through differ only in their pools.
        let mut open: BTreeSet<NamespacedName> = BTreeSet::new();
        for route in routes {
            let pools: Vec<NamespacedName> =
                self.backends(route).filter(|(_, is_pool)| *is_pool).map(|(key, _)| key.clone()).collect();
            let Some(owner) = self.backends(route).next().map(|(key, _)| key.to_string()) else { continue };
            let conditions = ModelConditions::of(route);
            if let Some(Condition::Exact(name)) = &conditions.model {
                if conditions.admits(name, self.base_models) {
                    found.entry(name.clone()).or_insert(owner);
                }
                continue;
            }
            if let Some(Condition::Exact(base)) = &conditions.base {
                let adapters = self.base_models.iter().filter(|(_, b)| *b == base).map(|(name, _)| name);
                for name in adapters.chain([base]).filter(|name| conditions.admits(name, self.base_models)) {
                    found.entry(name.clone()).or_insert_with(|| owner.clone());
                }
            }
            let is_open = conditions.model.is_none() && conditions.base.is_none();
            for pool in pools {
                if is_open && !open.insert(pool.clone()) {
                    continue;
                }
                for name in
                    self.known_to(&pool).iter().filter(|name| conditions.admits(name, self.base_models))
                {
                    found.entry(name.clone()).or_insert_with(|| pool.to_string());
                }
            }
        }
        found.into_iter().map(|(id, owned_by)| ModelEntry { id, owned_by }).collect()
    }

    /// The Services and pools that a route forwards to, and which are pools.
    fn backends(&self, route: &'a Route) -> impl Iterator<Item = (&'a NamespacedName, bool)> + use<'a> {
        let backends = match &route.action {
            Action::Forward(forward) => forward.backends.as_slice(),
            Action::Redirect(_) | Action::Refuse(_) => &[],
        };
        let clusters = self.clusters;
        backends.iter().filter_map(move |backend| {
            match &clusters.get(backend.target.as_ref().ok()?)?.upstream {
                Upstream::Pool(key, _) => Some((key, true)),
                Upstream::Service(key, _) => Some((key, false)),
                Upstream::Picker(..) => None,
            }
        })
    }

    /// Names that the pool's rewrites and models speak of.
    fn known_to(&mut self, pool: &NamespacedName) -> Arc<BTreeSet<String>> {
        if let Some(names) = self.by_pool.get(pool) {
            return Arc::clone(names);
        }
        let rewrites = self.world.rewrites_of(pool).flat_map(|rewrite| &rewrite.spec.rules);
        let rewritten = rewrites.flat_map(|rule| &rule.matches).map(|m| &m.model.value);
        let models = self.world.models_of(pool).map(|model| &model.spec.model_name);
        let names: Arc<BTreeSet<String>> = Arc::new(rewritten.chain(models).cloned().collect());
        self.by_pool.insert(pool.clone(), Arc::clone(&names));
        names
    }
}

/// The model headers that routes match, sorted.
pub(super) fn headers<'r>(routes: impl Iterator<Item = &'r Route>) -> Vec<String> {
    let names = routes.flat_map(|route| &route.matches.headers).map(|header| header.name.as_str());
    let names: BTreeSet<&str> =
        names.filter(|name| [MODEL_HEADER, BASE_MODEL_HEADER].contains(name)).collect();
    names.into_iter().map(ToOwned::to_owned).collect()
}

/// Whether a route claims `GET /v1/models` for itself: by its exact path, or by something narrower than every path
/// for requests of any model.
pub(super) fn models_path_is_routed(routes: &[Arc<Route>]) -> bool {
    const PATH: &str = "/v1/models";
    routes.iter().any(|route| {
        let with_model = || !headers([&**route].into_iter()).is_empty();
        let claims = match &route.matches.path {
            PathCondition::Exact(path) => path == PATH,
            PathCondition::Prefix(prefix) => {
                let below =
                    PATH.strip_prefix(prefix.as_str()).is_some_and(|r| r.is_empty() || r.starts_with('/'));
                prefix != "/" && below && !with_model()
            }
            PathCondition::Regex(pattern) => {
                let expression = expression::full_match(pattern);
                expression.is_some_and(|e| e.is_match(PATH) && !e.is_match("/")) && !with_model()
            }
        };
        claims && route.matches.method.as_deref().is_none_or(|method| method == "GET")
    })
}
