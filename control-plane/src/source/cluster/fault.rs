//! Why a watch does not work, in words that say what to do.

use kube::runtime::watcher;

/// What is wrong with the watch of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One word for metrics; a fault is logged when it changes.
    pub reason: &'static str,
    /// What the API server or the connection said.
    pub message: String,
    /// What to do; empty when waiting is all there is.
    pub remedy: String,
}

/// A request: what was asked of which resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// `list`, `watch` or `get`.
    pub(super) verb: &'static str,
    /// API group; empty for core.
    pub(super) group: &'a str,
    /// Plural name.
    pub(super) plural: &'a str,
}

impl Fault {
    /// The watched history is gone and everything is listed again: part of normal operation.
    pub(super) const EXPIRED: &'static str = "expired";

    /// Whether it is about the API server rather than about one resource.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self.reason, "unreachable" | "server" | "throttled")
    }

    /// Words an error of a watch.
    pub(super) fn of_watch(error: &watcher::Error, group: &str, plural: &str) -> Self {
        let asked = |verb| Asked { verb, group, plural };
        match error {
            watcher::Error::InitialListFailed(error) => Self::of(error, asked("list")),
            watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
                Self::of(error, asked("watch"))
            }
            watcher::Error::WatchError(status) => {
                Self::of_status(status.code, &status.message, asked("watch"))
            }
            watcher::Error::NoResourceVersion => Self {
                reason: "server",
                message: "the API server answers without a resource version".into(),
                remedy: String::new(),
            },
        }
    }

    /// Words an error of a request.
    pub(super) fn of(error: &kube::Error, asked: Asked<'_>) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status.code, &status.message, asked),
            kube::Error::SerdeError(error) => Self {
                reason: "protocol",
                message: format!("the answer is not what an API server sends: {error}"),
                remedy: "look for a proxy between Signalbox and the API server".into(),
            },
            kube::Error::Auth(error) => Self {
                reason: "unauthorized",
                message: error.to_string(),
                remedy: "check the ServiceAccount's token or the kubeconfig's credentials".into(),
            },
            other => Self {
                reason: "unreachable",
                message: chain(other),
                remedy: "what was last read is served until the API server answers".into(),
            },
        }
    }

    fn of_status(code: u16, message: &str, Asked { verb, group, plural }: Asked<'_>) -> Self {
        let of_group =
            if group.is_empty() { "the core API group".to_owned() } else { format!("the API group {group}") };
        let (reason, remedy) = match code {
            401 => (
                "unauthorized",
                "check the ServiceAccount's token or the kubeconfig's credentials".to_owned(),
            ),
            403 => (
                "forbidden",
                format!(
                    "allow `{verb}` on `{plural}` of {of_group} in the ClusterRole of Signalbox's ServiceAccount"
                ),
            ),
            404 => (
                "not_found",
                format!("`{plural}` of {of_group} may be about to come or go: asked again soon"),
            ),
            410 => (Self::EXPIRED, String::new()),
            429 => ("throttled", "the API server is busy: asked again later".to_owned()),
            _ => ("server", "what was last read is served until the API server answers".to_owned()),
        };
        Self { reason, message: format!("{verb} {plural}: {message} ({code})"), remedy }
    }
}

/// An error with its causes: the outermost of a connection's errors says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn status(code: u16) -> Box<Status> {
        Status { code, message: "no".into(), ..Status::default() }.boxed()
    }

    #[test]
    fn a_missing_right_is_named() {
        let error = watcher::Error::InitialListFailed(kube::Error::Api(status(403)));
        let fault = Fault::of_watch(&error, "gateway.networking.k8s.io", "httproutes");
        assert_eq!(fault.reason, "forbidden");
        assert_eq!(
            fault.remedy,
            "allow `list` on `httproutes` of the API group gateway.networking.k8s.io in the ClusterRole of \
             Signalbox's ServiceAccount"
        );
        let error = watcher::Error::WatchStartFailed(kube::Error::Api(status(403)));
        assert!(
            Fault::of_watch(&error, "", "pods")
                .remedy
                .starts_with("allow `watch` on `pods` of the core API group")
        );
    }

    #[test]
    fn reasons() {
        for (code, reason) in [
            (401, "unauthorized"),
            (404, "not_found"),
            (410, Fault::EXPIRED),
            (429, "throttled"),
            (500, "server"),
            (504, "server"),
        ] {
            assert_eq!(Fault::of_watch(&watcher::Error::WatchError(status(code)), "", "pods").reason, reason);
        }
        let cut = kube::Error::ReadEvents(std::io::Error::other("reset by peer"));
        let fault = Fault::of_watch(&watcher::Error::WatchFailed(cut), "", "pods");
        assert_eq!((fault.reason, fault.message.contains("reset by peer")), ("unreachable", true));
    }
}
