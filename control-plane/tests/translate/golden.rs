//! Goldens: the view of each case, in `golden/<case>.yaml`; `UPDATE=1` rewrites them.

use std::path::Path;

use control_plane::translate::{
    AdsMode, BootstrapParams, Cache, Drain, OverloadLimits, bootstrap, snapshot, view,
};
use serde_json::Value;

use crate::{
    cases,
    envoy::{self, Endpoints},
};

#[test]
fn cases_translate_to_their_goldens() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/translate/golden");
    let mut differing = Vec::new();
    for (name, case, settings) in cases::all() {
        let mut seen = view(&snapshot(&case.ir, &case.endpoints, &settings, None, &mut Cache::default()));
        shorten(&mut seen);
        let text = serde_saphyr::to_string(&seen).unwrap();
        let path = directory.join(format!("{name}.yaml"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        if std::fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            differing.push(path);
        }
    }
    assert!(differing.is_empty(), "differ: {differing:#?}; UPDATE=1 rewrites them");
}

/// Versions change with every change of the salt, and scripts are files of their own.
fn shorten(value: &mut Value) {
    match value {
        Value::String(s) if s.contains("function envoy_on_request") => {
            *s = s.lines().next().unwrap().to_owned();
        }
        Value::Object(o) => {
            if o.contains_key("resource") {
                o.remove("version");
            }
            o.values_mut().for_each(shorten);
        }
        Value::Array(a) => a.iter_mut().for_each(shorten),
        _ => {}
    }
}

#[test]
fn envoy_accepts_every_case() {
    for (name, case, settings) in cases::all() {
        let seen = view(&snapshot(&case.ir, &case.endpoints, &settings, None, &mut Cache::default()));
        assert!(!seen.to_string().contains("\"error\":\"failed"), "{name}: the view has holes");
        for endpoints in [Endpoints::Ads, Endpoints::Inline] {
            if let Err(error) = envoy::validate(&envoy::wrap(&seen, endpoints)) {
                panic!("{name}: {error}");
            }
        }
    }
}

#[test]
fn envoy_rejects_what_is_wrong() {
    let (_, case, settings) = cases::all().remove(0);
    let seen = view(&snapshot(&case.ir, &case.endpoints, &settings, None, &mut Cache::default()));
    let mut config = envoy::wrap(&seen, Endpoints::Inline);
    config["static_resources"]["clusters"][0]["connectTimeout"] = "-1s".into();
    assert!(envoy::validate(&config).is_err());
}

#[test]
fn envoy_accepts_every_bootstrap() {
    let params = BootstrapParams {
        node_id: "edge-0.infra".to_owned(),
        cluster: "infra/edge".to_owned(),
        ads_host: "signalbox.infra.svc".to_owned(),
        ads_port: 18000,
        tls: None,
        ads_mode: AdsMode::Delta,
        admin: "127.0.0.1:19901".parse().unwrap(),
        status: Some("127.0.0.1:19902".parse().unwrap()),
        drain: Some(Drain { token: "t".to_owned(), least_seconds: 1, most_seconds: 300 }),
        overload: OverloadLimits { max_heap_bytes: Some(1 << 30), ..OverloadLimits::default() },
    };
    let plain = BootstrapParams {
        ads_host: "127.0.0.1".to_owned(),
        ads_mode: AdsMode::Sotw,
        status: None,
        drain: None,
        overload: OverloadLimits::default(),
        ..params.clone()
    };
    for params in [params, plain] {
        let config = serde_json::from_str(&bootstrap(&params)).unwrap();
        if let Err(error) = envoy::validate(&config) {
            panic!("{params:?}: {error}");
        }
    }
}
