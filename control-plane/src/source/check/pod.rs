//! `Pod`.

use std::net::IpAddr;

use super::Findings;
use crate::{api::Pod, source::field::Field};

pub(super) fn check(pod: &Pod, findings: &mut Findings) {
    if let Some(ip) = &pod.status.pod_ip
        && ip.parse::<IpAddr>().is_err()
    {
        findings.add(Field::ROOT.name("status").name("podIP"), format!("{ip:?} is not an IP address"), "");
    }
}
