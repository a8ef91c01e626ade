//! The CRDs in `deploy/crds` are those of the code. `UPDATE=1 cargo test --test crds` rewrites them.

use std::{env, fs, path::Path};

use control_plane::infra::crd;

#[test]
fn crds_are_up_to_date() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds/signalbox.dev_gatewayparameters.yaml");
    let yaml = serde_saphyr::to_string(&serde_json::to_value(crd::gateway_parameters()).unwrap()).unwrap();
    let expected = format!("# Generated from the code: UPDATE=1 cargo test --test crds\n{yaml}");
    if env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &expected).unwrap();
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert!(held == expected, "{} is out of date: run UPDATE=1 cargo test --test crds", path.display());
}
