//! Following a real directory. Nothing sleeps: each step waits for the reload that it must cause.

use std::{fs, os::unix::fs::symlink};

use tokio::task::JoinHandle;

use super::*;
use crate::source::Change;

const PATIENCE: Duration = Duration::from_secs(20);

struct Followed {
    dir: tempfile::TempDir,
    reloads: mpsc::Receiver<Reload>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

fn object(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

impl Followed {
    /// Follows `sub` of a directory that `prepare` has filled.
    #[expect(clippy::disallowed_methods, reason = "the test itself joins the task")]
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        let (sender, reloads) = mpsc::channel(1);
        let cancel = CancellationToken::new();
        let task = tokio::spawn(FileSource::run(dir.path().join("sub"), sender, cancel.clone()));
        Self { dir, reloads, cancel, task }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn next(&mut self) -> Reload {
        timeout(PATIENCE, self.reloads.recv()).await.expect("a reload comes").expect("the source runs")
    }

    /// The names of the next objects; readings between two writes of a test are passed over.
    async fn until(&mut self, names: &[&str]) {
        loop {
            if let Reload::Loaded(loaded) = self.next().await
                && object_names(&loaded) == names
            {
                return;
            }
        }
    }

    async fn until_refused(&mut self, message: &str) {
        loop {
            if let Reload::Refused(diagnostics) = self.next().await
                && diagnostics.iter().any(|d| d.to_string().contains(message))
            {
                return;
            }
        }
    }

    async fn stop(self) {
        self.cancel.cancel();
        timeout(PATIENCE, self.task).await.expect("the task ends").unwrap();
    }
}

fn object_names(loaded: &Loaded) -> Vec<String> {
    let [Change::ReplaceAll(objects)] = &loaded.batch.changes[..] else { panic!("{loaded:?}") };
    objects.iter().map(|object| object.key().to_string()).collect()
}

fn one_file(root: &Path) {
    fs::create_dir(root.join("sub")).unwrap();
    fs::write(root.join("sub/a.yaml"), object("a")).unwrap();
}

#[tokio::test]
async fn writes_renames_and_removals_are_followed() {
    let mut source = Followed::new(one_file);
    source.until(&["a"]).await;
    fs::write(source.path("sub/b.yaml"), object("b")).unwrap();
    source.until(&["a", "b"]).await;
    fs::write(source.path("sub/.c.tmp"), object("c")).unwrap();
    fs::rename(source.path("sub/.c.tmp"), source.path("sub/a.yaml")).unwrap();
    source.until(&["b", "c"]).await;
    fs::create_dir(source.path("sub/deep")).unwrap();
    fs::write(
        source.path("sub/deep/d.json"),
        r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"d"}}"#,
    )
    .unwrap();
    source.until(&["b", "c", "d"]).await;
    fs::remove_dir_all(source.path("sub/deep")).unwrap();
    source.until(&["b", "c"]).await;
    source.stop().await;
}

#[tokio::test]
async fn an_error_refuses_everything_until_it_is_mended() {
    let mut source = Followed::new(one_file);
    source.until(&["a"]).await;
    fs::write(source.path("sub/b.yaml"), "kind: [").unwrap();
    source.until_refused("b.yaml:1").await;
    fs::write(source.path("sub/b.yaml"), object("b")).unwrap();
    source.until(&["a", "b"]).await;
    // A pure problem of place, and its end without any change of content.
    symlink("nowhere.yaml", source.path("sub/z.yaml")).unwrap();
    source.until_refused("z.yaml: cannot be read").await;
    fs::remove_file(source.path("sub/z.yaml")).unwrap();
    source.until(&["a", "b"]).await;
    source.stop().await;
}

#[tokio::test]
async fn a_config_map_mount_is_followed() {
    let generation = |root: &Path, name: &str, object_name: &str| {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("m.yaml"), object(object_name)).unwrap();
    };
    let mut source = Followed::new(|root| {
        let sub = root.join("sub");
        fs::create_dir(&sub).unwrap();
        generation(&sub, "..1", "one");
        symlink("..1", sub.join("..data")).unwrap();
        symlink("..data/m.yaml", sub.join("m.yaml")).unwrap();
    });
    source.until(&["one"]).await;
    let sub = source.path("sub");
    generation(&sub, "..2", "two");
    symlink("..2", sub.join("..data_tmp")).unwrap();
    fs::rename(sub.join("..data_tmp"), sub.join("..data")).unwrap();
    source.until(&["two"]).await;
    source.stop().await;
}

#[tokio::test]
async fn a_directory_that_appears_is_swapped_and_vanishes() {
    let mut source = Followed::new(|_| {});
    source.until_refused("cannot be read").await;
    one_file(source.dir.path());
    source.until(&["a"]).await;
    fs::create_dir(source.path("next")).unwrap();
    fs::write(source.path("next/n.yaml"), object("n")).unwrap();
    fs::rename(source.path("sub"), source.path("old")).unwrap();
    symlink("next", source.path("sub")).unwrap();
    source.until(&["n"]).await;
    // The link now leads to a directory that is watched in its own right.
    fs::write(source.path("next/o.yaml"), object("o")).unwrap();
    source.until(&["n", "o"]).await;
    fs::remove_file(source.path("sub")).unwrap();
    source.until_refused("cannot be read").await;
    source.stop().await;
}

#[tokio::test]
async fn only_changed_files_are_parsed_and_equal_content_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        fs::write(dir.path().join(format!("{name}.yaml")), object(name)).unwrap();
    }
    let mut cache = Cache::default();
    let mut read = |later: u64| {
        let now = SystemTime::now() + Duration::from_secs(later);
        let reading = cache.read(&tree::walk(dir.path()), now);
        let names = object_names(&reading.result.unwrap()).join(" ");
        (reading.opened, reading.parsed, reading.changed, names)
    };
    assert_eq!(read(0), (3, 3, true, "a b c".into()));
    // Just written: only reading shows that nothing has changed. Later the stamps do.
    assert_eq!(read(60), (3, 0, false, "a b c".into()));
    assert_eq!(read(60), (0, 0, false, "a b c".into()));
    fs::write(dir.path().join("b.yaml"), object("x")).unwrap();
    assert_eq!(read(0), (1, 1, true, "a c x".into()));
    fs::write(dir.path().join("c.yaml"), object("c")).unwrap();
    assert_eq!(read(0), (2, 0, false, "a c x".into()));
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    assert_eq!(read(0), (2, 0, true, "c x".into()));
}

#[tokio::test]
async fn a_loop_of_links_is_refused_and_does_not_stop_the_following() {
    let mut source = Followed::new(|root| {
        one_file(root);
        symlink(".", root.join("sub/up")).unwrap();
    });
    source.until_refused("up: this link leads back").await;
    fs::remove_file(source.path("sub/up")).unwrap();
    source.until(&["a"]).await;
    source.stop().await;
}
