//! What `signalbox status` shows: one document with the state of the whole installation.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The state of an installation, as written to `overview.json` in the run directory on every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overview {
    /// Process id of the control plane.
    pub pid: u32,
    /// What is watched.
    pub source: String,
    /// Where `/metrics`, `/readyz` and `/status` are served.
    pub admin: String,
    /// Problems of the last reload; while there are any, the configuration before it serves.
    pub refused: Vec<String>,
    /// Gateways.
    pub gateways: Vec<GatewayOverview>,
    /// Pools.
    pub pools: Vec<PoolOverview>,
    /// Child processes.
    pub children: Vec<ChildOverview>,
    /// Every condition that is not as it should be: `HTTPRoute default/x: ResolvedRefs=False BackendNotFound: …`.
    pub problems: Vec<String>,
}

/// One Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayOverview {
    /// `namespace/name`.
    pub name: String,
    /// `http://ADDRESS:PORT` of each listener.
    pub addresses: Vec<String>,
    /// Whether Envoy acknowledged the current configuration.
    pub programmed: bool,
    /// Routes attached, over all listeners.
    pub attached_routes: u32,
    /// Envoys connected.
    pub envoys: usize,
    /// What Envoys refused.
    pub refusals: Vec<String>,
}

/// One pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PoolOverview {
    /// `namespace/name`.
    pub name: String,
    /// Endpoints that may be picked.
    pub ready: usize,
    /// All endpoints.
    pub endpoints: usize,
    /// Accelerator classes with the number of endpoints: `3 × nvidia-l4`.
    pub accelerators: Vec<String>,
}

/// One child process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChildOverview {
    /// Name.
    pub name: String,
    /// State in words.
    pub state: String,
    /// Its log file.
    pub log: String,
}

impl Overview {
    /// The text of `signalbox status`.
    pub fn render(&self) -> String {
        let mut out = String::new();
        let rows = self.gateways.iter().map(|g| {
            let programmed = if g.programmed { "yes" } else { "no" };
            vec![
                g.name.clone(),
                g.addresses.join(" "),
                programmed.into(),
                g.attached_routes.to_string(),
                g.envoys.to_string(),
            ]
        });
        table(&mut out, &["GATEWAY", "ADDRESS", "PROGRAMMED", "ROUTES", "ENVOYS"], rows);
        let rows = self
            .pools
            .iter()
            .map(|p| vec![p.name.clone(), format!("{}/{}", p.ready, p.endpoints), p.accelerators.join(", ")]);
        table(&mut out, &["POOL", "READY", "ACCELERATORS"], rows);
        let rows = self.children.iter().map(|c| vec![c.name.clone(), c.state.clone(), c.log.clone()]);
        table(&mut out, &["PROCESS", "STATE", "LOG"], rows);
        if !self.admin.is_empty() {
            let _infallible = writeln!(out, "Metrics: {}/metrics", self.admin);
        }
        section(&mut out, "Problems:", &self.problems);
        section(&mut out, "The last change was refused; the configuration before it serves:", &self.refused);
        out
    }
}

fn section(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    out.push_str(title);
    out.push('\n');
    for line in lines {
        out.push_str("  ");
        out.push_str(line);
        out.push('\n');
    }
}

/// Appends a table with columns as wide as their widest cell, and an empty line; nothing when there are no rows.
pub(super) fn table(out: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    if rows.len() == 1 {
        return;
    }
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _infallible = write!(line, "{cell:<width$}   ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_shows_gateways_and_problems() {
        let gateway = GatewayOverview {
            name: "default/gw".into(),
            addresses: vec!["http://127.0.0.10:80".into()],
            programmed: true,
            attached_routes: 2,
            envoys: 1,
            ..GatewayOverview::default()
        };
        let overview = Overview {
            gateways: vec![gateway],
            problems: vec!["HTTPRoute default/r: x".into()],
            ..Overview::default()
        };
        let text = overview.render();
        assert_eq!(text.lines().nth(1), Some("default/gw   http://127.0.0.10:80   yes          2        1"));
        assert!(text.contains("Problems:\n  HTTPRoute default/r: x\n"));
        let json = serde_json::to_string(&overview).unwrap();
        assert_eq!(serde_json::from_str::<Overview>(&json).unwrap(), overview);
    }
}
