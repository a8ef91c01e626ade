//! One object: from a tree to its type, with everything that is wrong with it.
//!
//! ```text
//! Node ─▶ apiVersion, kind ─▶ reader (types, unknown fields) ─▶ defaults ─▶ check ─▶ AnyObject | Diagnostics
//! ```

use super::{
    AnyObject, Diagnostic, Note,
    check::{self, Findings},
    field,
    kinds::{Reading, classify},
    manifest::{Located, Manifest},
    yaml::{Content, Node, Position, Problem, Reader, Scope},
};
use crate::api::{Kind, NamespacedName, ObjectRef};

/// Reads the object (or list of objects) of one document into `into`.
pub(crate) fn decode(file: &str, root: &Node<'_>, into: &mut Manifest) {
    let remedy = "a manifest has `apiVersion` and `kind`; move other files out of the directory";
    let Content::Map(_) = &root.content else {
        let problem = Problem::new(root.at, "this is not a Kubernetes object", remedy);
        into.diagnostics.push(diagnostic(file, None, problem));
        return;
    };
    let text = |key| root.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        let missing = if text("kind").is_none() { "kind" } else { "apiVersion" };
        let problem = Problem::new(root.at, format!("`{missing}` is missing"), remedy);
        into.diagnostics.push(diagnostic(file, None, problem));
        return;
    };
    match classify(api_version, kind) {
        Reading::Read { kind, superseded } => object(file, root, kind, superseded, into),
        Reading::List => list(file, root, into),
        Reading::Unused => into.notes.push(Note {
            file: file.to_owned(),
            line: Some(root.at.line),
            message: format!("{kind} {} ({api_version}) is not used here", key(root, None)),
        }),
        Reading::Refused { message, remedy } => {
            let at = root.entry("apiVersion").map_or(root.at, |entry| entry.at);
            let mut diagnostic = diagnostic(file, None, Problem::new(at, message, remedy));
            diagnostic.field = Some("apiVersion".into());
            into.diagnostics.push(diagnostic);
        }
    }
}

fn list(file: &str, root: &Node<'_>, into: &mut Manifest) {
    match root.get("items").map(|items| &items.content) {
        Some(Content::List(items)) => {
            for item in items {
                decode(file, item, into);
            }
        }
        None => {}
        Some(_) if root.get("items").is_some_and(Node::is_null) => {}
        Some(_) => {
            let problem = Problem::new(root.at, "`items` of a list must be a list", "");
            into.diagnostics.push(diagnostic(file, None, problem));
        }
    }
}

fn object(file: &str, root: &Node<'_>, kind: Kind, superseded: bool, into: &mut Manifest) {
    let name = ObjectRef::new(kind, key(root, Some(kind)));
    let (object, mut problems) = Reader::new(scope(kind)).read(root, |at| AnyObject::deserialize(kind, at));
    let object = object.map(with_defaults);
    if let Some(object) = &object {
        let mut findings = Findings::default();
        check::check(object, &mut findings);
        problems.extend(findings.into_iter().map(|found| Problem {
            at: root.locate(&found.field),
            field: found.field,
            message: found.message,
            remedy: found.remedy,
        }));
    }
    match object {
        Some(object) if problems.is_empty() => {
            into.objects.push(Located { object, file: file.into(), line: root.at.line, superseded });
        }
        _ => {
            problems.sort_by_key(|problem| problem.at);
            into.diagnostics.extend(problems.into_iter().map(|p| diagnostic(file, Some(&name), p)));
        }
    }
}

/// What the API server would fill in.
fn with_defaults(mut object: AnyObject) -> AnyObject {
    let namespaced = object.kind().is_namespaced();
    let meta = object.meta_mut();
    if namespaced && meta.namespace.is_empty() {
        meta.namespace = "default".into();
    }
    if meta.generation == 0 {
        meta.generation = 1;
    }
    object
}

/// Namespace and name as written, for messages; the default namespace where the kind is known to have one.
fn key(root: &Node<'_>, kind: Option<Kind>) -> NamespacedName {
    let metadata = root.get("metadata");
    let text = |key| metadata.and_then(|m| m.get(key)).and_then(Node::text);
    let default = if kind.is_some_and(Kind::is_namespaced) { "default" } else { "" };
    NamespacedName::new(text("namespace").unwrap_or(default), text("name").unwrap_or("(without a name)"))
}

/// Core kinds carry only what is read; the others are read whole.
pub(crate) fn scope(kind: Kind) -> Scope {
    match kind {
        Kind::GatewayClass
        | Kind::Gateway
        | Kind::HTTPRoute
        | Kind::ReferenceGrant
        | Kind::BackendTLSPolicy
        | Kind::InferencePool
        | Kind::InferenceObjective
        | Kind::InferenceModelRewrite
        | Kind::InferenceModel
        | Kind::GatewayParameters => Scope::Whole,
        Kind::Namespace
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::Pod
        | Kind::Node
        | Kind::Secret
        | Kind::ConfigMap => Scope::Metadata,
    }
}

/// The diagnostic for a problem in a file.
pub(crate) fn diagnostic(file: &str, object: Option<&ObjectRef>, problem: Problem) -> Diagnostic {
    let known = problem.at != Position::default();
    Diagnostic {
        file: file.to_owned(),
        line: known.then_some(problem.at.line),
        column: known.then_some(problem.at.column),
        object: object.cloned(),
        field: (!problem.field.is_empty()).then(|| field::show(&problem.field)),
        message: problem.message,
        remedy: problem.remedy,
    }
}
