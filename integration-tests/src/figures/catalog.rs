//! All measurements, in the order in which they run.

use std::{pin::Pin, time::Duration};

use anyhow::{Result, ensure};

use super::{
    bench, change, cluster, context::Context, extproc, figure::Figure, guide, live, overload, path, scrape,
    simulate, weights,
};

type Measuring<'a> = Pin<Box<dyn Future<Output = Result<Vec<Figure>>> + 'a>>;

/// One measurement: some figures that are measured together.
pub struct Measurement {
    /// Its name.
    pub name: &'static str,
    /// The names of its figures.
    pub figures: &'static [&'static str],
    /// How long it may take.
    pub deadline: Duration,
    /// Measures them.
    pub measure: for<'a> fn(&'a Context) -> Measuring<'a>,
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// All measurements. Benches come last: their builds would disturb the others' caches.
pub static ALL: &[Measurement] = &[
    Measurement {
        name: "guide",
        figures: guide::NAMES,
        deadline: minutes(2),
        measure: |context| Box::pin(guide::measure(context)),
    },
    Measurement {
        name: "weights",
        figures: weights::NAMES,
        deadline: minutes(2),
        measure: |context| Box::pin(weights::measure(context)),
    },
    Measurement {
        name: "extproc",
        figures: extproc::NAMES,
        deadline: minutes(4),
        measure: |context| Box::pin(extproc::measure(context)),
    },
    Measurement {
        name: "scrape",
        figures: scrape::NAMES,
        deadline: minutes(2),
        measure: |context| Box::pin(scrape::measure(context)),
    },
    Measurement {
        name: "path",
        figures: path::NAMES,
        deadline: minutes(4),
        measure: |context| Box::pin(path::measure(context)),
    },
    Measurement {
        name: "live",
        figures: live::NAMES,
        deadline: minutes(5),
        measure: |context| Box::pin(live::measure(context)),
    },
    Measurement {
        name: "change",
        figures: change::NAMES,
        deadline: minutes(4),
        measure: |context| Box::pin(change::measure(context)),
    },
    Measurement {
        name: "overload",
        figures: overload::NAMES,
        deadline: minutes(2),
        measure: |context| Box::pin(overload::measure(context)),
    },
    Measurement {
        name: "simulate",
        figures: simulate::NAMES,
        deadline: minutes(5),
        measure: |context| Box::pin(simulate::measure(context)),
    },
    Measurement {
        name: "cluster",
        figures: cluster::NAMES,
        deadline: minutes(45),
        measure: |context| Box::pin(cluster::measure(context)),
    },
    Measurement {
        name: "pick",
        figures: bench::PICKS,
        deadline: minutes(15),
        measure: |context| Box::pin(bench::measure(context, bench::PICKS)),
    },
    Measurement {
        name: "pipeline",
        figures: bench::PIPELINE,
        deadline: minutes(15),
        measure: |context| Box::pin(bench::measure(context, bench::PIPELINE)),
    },
    Measurement {
        name: "fanout",
        figures: bench::FANOUT,
        deadline: minutes(15),
        measure: |context| Box::pin(bench::measure(context, bench::FANOUT)),
    },
];

/// The measurements that measure one of these, or are called so; all when none is named.
///
/// # Errors
/// When a name is neither a measurement's nor a figure's.
pub fn select(names: &[String]) -> Result<Vec<&'static Measurement>> {
    for name in names {
        ensure!(
            ALL.iter().any(|measurement| measurement.is(name)),
            "there is no figure {name:?}: see --list"
        );
    }
    let selected = |m: &&Measurement| names.is_empty() || names.iter().any(|name| m.is(name));
    Ok(ALL.iter().filter(selected).collect())
}

impl Measurement {
    fn is(&self, name: &str) -> bool {
        self.name == name || self.figures.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn figures_are_selected_by_name() {
        let select = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            select(&names).map(|selected| selected.iter().map(|m| m.name).collect::<Vec<_>>())
        };
        assert_eq!(select(&[]).unwrap().len(), ALL.len());
        assert_eq!(select(&["path_p99_ratio", "rss_mb_picker", "guide"]).unwrap(), ["guide", "path"]);
        assert!(select(&["speed"]).is_err());
    }

    #[test]
    fn no_name_is_used_twice() {
        let names: Vec<_> = ALL.iter().flat_map(|measurement| measurement.figures).collect();
        assert_eq!(names.len(), BTreeSet::from_iter(&names).len());
    }
}
