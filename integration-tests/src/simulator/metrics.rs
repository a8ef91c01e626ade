//! The metrics page, with vLLM's names and types.

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{engine::Engine, faults::MetricsFault, histogram::Histogram, pod::Pod};

/// The page of a Pod, with its metrics fault applied as far as it is one of content.
pub(super) fn page(pod: &Pod, fault: MetricsFault) -> String {
    if fault == MetricsFault::Frozen
        && let Some(frozen) = pod.frozen_metrics.lock().clone()
    {
        return frozen;
    }
    let names = pod.config().names();
    let mut page = Page { text: String::with_capacity(8192), model: &names[0], fault };
    if fault != MetricsFault::Empty {
        pod.with_engine(|engine| write_engine(&mut page, engine));
        pad(&mut page.text, pod.config().metrics_padding);
    }
    if fault == MetricsFault::Frozen {
        *pod.frozen_metrics.lock() = Some(page.text.clone());
    }
    page.text
}

struct Page<'a> {
    text: String,
    model: &'a str,
    fault: MetricsFault,
}

impl Page<'_> {
    fn line(&mut self, args: std::fmt::Arguments<'_>) {
        self.text.write_fmt(args).expect("writing to a string");
        self.text.push('\n');
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP vllm:{name} {help}\n# TYPE vllm:{name} {kind}"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        let model = self.model;
        match self.fault {
            MetricsFault::Nan => {
                self.line(format_args!("vllm:{name}{{engine=\"0\",model_name=\"{model}\"}} NaN"));
            }
            MetricsFault::Extreme => {
                for (engine, value) in
                    ["+Inf", "-5.0", "1e308", "999999999999999999999"].into_iter().enumerate()
                {
                    self.line(format_args!(
                        "vllm:{name}{{engine=\"{engine}\",model_name=\"{model}\"}} {value}"
                    ));
                }
            }
            _ => self.line(format_args!("vllm:{name}{{engine=\"0\",model_name=\"{model}\"}} {value:?}")),
        }
    }

    fn counter(&mut self, name: &str, labels: &str, value: u64) {
        let model = self.model;
        self.line(format_args!("vllm:{name}_total{{engine=\"0\",{labels}model_name=\"{model}\"}} {value}.0"));
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        if histogram.count() == 0 {
            return; // As vLLM: a series appears with its first observation.
        }
        self.head(name, "histogram", help);
        let model = self.model;
        for (bound, count) in histogram.cumulative() {
            let bound = if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") };
            self.line(format_args!(
                "vllm:{name}_bucket{{engine=\"0\",le=\"{bound}\",model_name=\"{model}\"}} {count}.0"
            ));
        }
        self.line(format_args!(
            "vllm:{name}_count{{engine=\"0\",model_name=\"{model}\"}} {}.0",
            histogram.count()
        ));
        self.line(format_args!(
            "vllm:{name}_sum{{engine=\"0\",model_name=\"{model}\"}} {:?}",
            histogram.sum()
        ));
    }
}

fn write_engine(page: &mut Page<'_>, engine: &Engine) {
    let (running, running_adapters) = engine.running();
    let (waiting, waiting_adapters) = engine.waiting();
    let (blocks, totals) = (engine.blocks(), engine.totals());
    page.gauge("num_requests_running", "Number of requests in model execution batches.", running as f64);
    page.gauge("num_requests_waiting", "Number of requests waiting to be processed.", waiting as f64);
    let usage = blocks.used() as f64 / blocks.total() as f64;
    page.gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", usage);
    page.head("cache_config_info", "gauge", "Information of the LLMEngine CacheConfig");
    page.line(format_args!(
        "vllm:cache_config_info{{block_size=\"{}\",cache_dtype=\"auto\",enable_prefix_caching=\"True\",engine=\"0\",\
         gpu_memory_utilization=\"0.9\",num_gpu_blocks=\"{}\"}} 1.0",
        blocks.size(),
        blocks.total()
    ));
    if !engine.adapters().known().is_empty() {
        let (now, join) = (unix_seconds(), |names: std::collections::BTreeSet<&str>| {
            names.into_iter().collect::<Vec<_>>().join(",")
        });
        page.head("lora_requests_info", "gauge", "Running stats on lora requests.");
        page.line(format_args!(
            "vllm:lora_requests_info{{max_lora=\"{}\",running_lora_adapters=\"{}\",waiting_lora_adapters=\"{}\"}} {now}",
            engine.adapters().max_loaded(),
            join(running_adapters),
            join(waiting_adapters),
        ));
    }
    for (name, help, value) in [
        ("prompt_tokens", "Number of prefill tokens processed.", totals.prompt_tokens),
        ("generation_tokens", "Number of generation tokens processed.", totals.generation_tokens),
        (
            "prefix_cache_queries",
            "Prefix cache queries, in terms of number of queried tokens.",
            blocks.queries,
        ),
        ("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.", blocks.hits),
        ("num_preemptions", "Cumulative number of preemption from the engine.", totals.preemptions),
    ] {
        page.head(name, "counter", help);
        page.counter(name, "", value);
    }
    page.head("request_success", "counter", "Count of successfully processed requests.");
    for (reason, value) in [("stop", totals.stopped), ("length", totals.length), ("abort", totals.aborted)] {
        page.counter("request_success", &format!("finished_reason=\"{reason}\","), value);
    }
    for (name, help, histogram) in [
        (
            "time_to_first_token_seconds",
            "Histogram of time to first token in seconds.",
            &totals.time_to_first_token,
        ),
        (
            "inter_token_latency_seconds",
            "Histogram of inter-token latency in seconds.",
            &totals.inter_token_latency,
        ),
        ("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", &totals.e2e_latency),
        ("request_queue_time_seconds", "Histogram of time spent in WAITING phase.", &totals.queue_time),
        ("request_prefill_time_seconds", "Histogram of time spent in PREFILL phase.", &totals.prefill_time),
        ("request_decode_time_seconds", "Histogram of time spent in DECODE phase.", &totals.decode_time),
        ("request_prompt_tokens", "Number of prefill tokens processed.", &totals.request_prompt_tokens),
        ("request_generation_tokens", "Number of generation tokens.", &totals.request_generation_tokens),
    ] {
        page.histogram(name, help, histogram);
    }
}

/// Fills the page up to a size with series that nobody reads, as a real server's page is.
fn pad(text: &mut String, size: usize) {
    let mut filler = 0;
    if text.len() < size {
        text.push_str(
            "# HELP http_request_duration_seconds Duration.\n# TYPE http_request_duration_seconds gauge\n",
        );
    }
    while text.len() < size {
        writeln!(text, "http_request_duration_seconds{{handler=\"/v1/path/{filler}\",method=\"POST\"}} 0.0")
            .expect("writing to a string");
        filler += 1;
    }
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::{config::parse_pod, engine::Job};

    fn busy_pod(settings: &str) -> std::sync::Arc<Pod> {
        let pod =
            Pod::new(parse_pod(&format!("name=p,listen=127.0.0.1:1,model=m,{settings}")).unwrap()).unwrap();
        let job = Job {
            prompt: (0..40).collect(),
            max_tokens: 2,
            natural_end: 9,
            adapter: Some("a".into()),
            salt: 0,
            seed: 0,
        };
        pod.with_engine(|engine| {
            engine.submit(job.clone(), std::time::Duration::ZERO).unwrap();
            engine.submit(Job { adapter: Some("b".into()), ..job }, std::time::Duration::ZERO).unwrap();
            engine.begin_step(std::time::Duration::ZERO);
            engine.end_step(std::time::Duration::from_millis(70));
        });
        pod
    }

    /// The value of the one series whose name and labels contain all of `parts`.
    fn value(page: &str, parts: &[&str]) -> String {
        let found: Vec<_> = page
            .lines()
            .filter(|line| !line.starts_with('#') && parts.iter().all(|part| line.contains(part)))
            .collect();
        assert_eq!(found.len(), 1, "{parts:?} in {page}");
        found[0].rsplit_once(' ').unwrap().1.to_owned()
    }

    #[test]
    fn a_busy_page() {
        let pod = busy_pod("served-names=chatbot,loras=a+b,max-loras=1,num-gpu-blocks=6");
        let page = page(&pod, MetricsFault::None);
        for (parts, expected) in [
            (&["vllm:num_requests_running{", "model_name=\"chatbot\""] as &[_], "1.0"),
            (&["vllm:num_requests_waiting{"], "1.0"),
            (&["vllm:kv_cache_usage_perc{"], "0.5"),
            (&["vllm:cache_config_info{", "block_size=\"16\"", "num_gpu_blocks=\"6\""], "1.0"),
            (&["vllm:prompt_tokens_total{"], "40.0"),
            (&["vllm:generation_tokens_total{"], "1.0"),
            (&["vllm:time_to_first_token_seconds_bucket{", "le=\"0.06\""], "0.0"),
            (&["vllm:time_to_first_token_seconds_bucket{", "le=\"0.08\""], "1.0"),
            (&["vllm:time_to_first_token_seconds_bucket{", "le=\"+Inf\""], "1.0"),
            (&["vllm:time_to_first_token_seconds_sum{"], "0.07"),
            (&["vllm:request_success_total{", "finished_reason=\"abort\""], "0.0"),
        ] {
            assert_eq!(value(&page, parts), expected, "{parts:?}");
        }
        value(
            &page,
            &[
                "lora_requests_info",
                "max_lora=\"1\"",
                "running_lora_adapters=\"a\"",
                "waiting_lora_adapters=\"b\"",
            ],
        );
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
        }
    }

    #[test]
    fn faulty_pages() {
        let pod = busy_pod("loras=a+b,metrics-padding=54000");
        let before = page(&pod, MetricsFault::Frozen);
        assert!((54_000..54_200).contains(&before.len()));
        pod.with_engine(|engine| engine.cancel(0));
        assert_eq!(page(&pod, MetricsFault::Frozen), before);
        assert_ne!(page(&pod, MetricsFault::None), before);
        assert_eq!(value(&page(&pod, MetricsFault::Nan), &["vllm:num_requests_running{"]), "NaN");
        assert_eq!(page(&pod, MetricsFault::Empty), "");
    }
}
