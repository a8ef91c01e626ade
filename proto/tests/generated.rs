//! The committed code is what the `.proto` files say.

use std::{env, fs, path::Path};

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let files =
        ["signalbox/tier/v1/tier.proto", "signalbox/peers/v1/peers.proto"].map(|file| root.join(file));
    let descriptors = protox::compile(files, [root]).unwrap();
    tonic_prost_build::configure().out_dir(out).compile_fds(descriptors).unwrap();
    for name in ["signalbox.tier.v1.rs", "signalbox.peers.v1.rs"] {
        let fresh = fs::read_to_string(out.join(name)).unwrap();
        let committed = root.join("src/gen").join(name);
        if env::var_os("UPDATE").is_some() {
            fs::write(&committed, &fresh).unwrap();
        }
        let held = fs::read_to_string(&committed).unwrap_or_default();
        assert!(
            held == fresh,
            "{} is out of date: run UPDATE=1 cargo test -p signalbox-proto",
            committed.display()
        );
    }
}
