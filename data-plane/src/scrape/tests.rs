mod engines;
mod live;
mod page;
mod ranks;

use crate::accelerator::Totals;
use proptest::prelude::*;

use super::http1::{HttpError, Response};
use super::scanner::Scanner;
use super::{Engine, engine_named};
use crate::pool::{Adapters, Reading};

fn scan(engine: Option<&'static Engine>, chunks: &[&[u8]]) -> (Reading, u64) {
    let mut scanner = Scanner::new(engine);
    chunks.iter().for_each(|chunk| scanner.feed(chunk));
    scanner.finish()
}

fn vllm() -> Option<&'static Engine> {
    engine_named("vllm")
}

fn hashes(names: &[&str]) -> Vec<u64> {
    let mut hashes: Vec<u64> = names.iter().map(|name| Adapters::hash(name.as_bytes())).collect();
    hashes.sort_unstable();
    hashes
}

#[test]
fn engines_are_read_by_their_names() {
    let full = |blocks: u64, size: u32| Reading {
        running: Some(5),
        waiting: Some(2),
        kv_usage: Some(0.25),
        kv_tokens: Some(blocks * u64::from(size)),
        kv_largest: Some(blocks * u64::from(size)),
        kv_block: Some(size),
        adapters: None,
        totals: Totals::default(),
    };
    let table = [
        ("vllm", page::vllm_small().into_bytes(), full(1_000, 16)),
        (
            "sglang",
            b"sglang:num_queue_reqs{model_name=\"m\"} 2.0\nsglang:num_running_reqs{model_name=\"m\"} 5.0\n\
              sglang:token_usage{model_name=\"m\"} 0.25\nsglang:cache_config_info{page_size=\"64\",num_pages=\"100\"} 1.0\n"
                .to_vec(),
            full(100, 64),
        ),
        (
            "trtllm-serve",
            b"trtllm_num_requests_waiting 2\ntrtllm_num_requests_running 5\ntrtllm_kv_cache_utilization 0.25\n\
              trtllm_kv_cache_tokens_per_block 32\ntrtllm_kv_cache_max_blocks 10\n"
                .to_vec(),
            full(10, 32),
        ),
        (
            "triton-tensorrt-llm",
            b"nv_trt_llm_request_metrics{model=\"t\",request_type=\"waiting\",version=\"1\"} 2\n\
              nv_trt_llm_request_metrics{model=\"t\",request_type=\"scheduled\",version=\"1\"} 5\n\
              nv_trt_llm_request_metrics{model=\"t\",request_type=\"max\",version=\"1\"} 512\n\
              nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\",model=\"t\"} 0.25\n\
              nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\",model=\"t\"} 64\n\
              nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\",model=\"t\"} 20\n"
                .to_vec(),
            full(20, 64),
        ),
        (
            "triton",
            b"nv_inference_pending_request_count{model=\"a\"} 3\nnv_inference_pending_request_count{model=\"b\"} 4\n".to_vec(),
            Reading { waiting: Some(7), ..Reading::default() },
        ),
    ];
    for (name, page, expected) in table {
        assert_eq!(scan(engine_named(name), &[&page]), (expected.clone(), 0), "{name}");
        assert_eq!(scan(None, &[&page]), (expected, 0), "{name}, not told");
        assert_eq!(super::scanner::detect(&page).unwrap().name, name);
    }
    assert!(engine_named("").is_none() && super::scanner::detect(b"go_gc 1\n").is_none());
}

#[test]
fn data_parallel_series_add_up_and_the_newest_adapters_count() {
    let page = b"vllm:num_requests_running{engine=\"0\",model_name=\"m\"} 3.0\n\
        vllm:num_requests_running{engine=\"1\",model_name=\"m\"} 4.0\n\
        vllm:num_requests_waiting{engine=\"0\"} 0.0\nvllm:num_requests_waiting{engine=\"1\"} 2.0\n\
        vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.4\n\
        vllm:cache_config_info{block_size=\"16\",engine=\"0\",kv_cache_size_tokens=\"1600\",num_gpu_blocks=\"300\"} 1.0\n\
        vllm:cache_config_info{block_size=\"16\",engine=\"1\",kv_cache_size_tokens=\"3200\",num_gpu_blocks=\"300\"} 1.0\n\
        vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"old\",waiting_lora_adapters=\"\"} 1.75e+09\n\
        vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"sql, chat\",waiting_lora_adapters=\"law\"} 1.7500001e+09\n\
        vllm:lora_requests_info{max_lora=\"4\",running_lora_adapters=\"older\",waiting_lora_adapters=\"\"} 1.74e+09\n";
    let (reading, ignored) = scan(vllm(), &[page]);
    assert_eq!(
        (reading.running, reading.waiting, reading.kv_tokens, ignored),
        (Some(7), Some(2), Some(4_800), 0)
    );
    assert!((reading.kv_usage.unwrap() - 1.0 / 3.0).abs() < 1e-6, "two thirds of the room are of the second");
    assert_eq!(reading.kv_largest, Some(3_200));
    let adapters = reading.adapters.unwrap();
    assert_eq!(adapters, Adapters { max: 4, running: hashes(&["sql", "chat"]), waiting: hashes(&["law"]) });
    assert!(
        adapters.has_room()
            && adapters.runs(Adapters::hash(b"sql"))
            && adapters.awaits(Adapters::hash(b"law"))
    );
}

#[test]
fn garbage_is_counted_and_leaves_the_metric_unknown() {
    for value in ["NaN", "+Inf", "-Inf", "-1", "1e300", "x", "0x10", "1_0", "", "1 2 3x"] {
        let page = format!("vllm:num_requests_running{{a=\"b\"}} {value}\nvllm:num_requests_waiting 1\n");
        let (reading, ignored) = scan(vllm(), &[page.as_bytes()]);
        let first_is_fine = value == "1 2 3x";
        assert_eq!(
            (reading.running.is_some(), ignored),
            (first_is_fine, u64::from(!first_is_fine)),
            "{value}"
        );
        assert_eq!(reading.waiting, Some(1), "{value}");
    }
    let odd = b"vllm:kv_cache_usage_perc 7\nvllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"None\"} 1.0\n\
        vllm:num_requests_running{a=\"unclosed 5\nvllm:num_requests_waiting\nvllm:num_requests_waiting_by_reason 9\n\
        # vllm:num_requests_waiting 9\n vllm:num_requests_waiting 9\n";
    let (reading, ignored) = scan(vllm(), &[odd]);
    assert_eq!((reading.is_empty(), ignored), (true, 3), "{reading:?}");
}

#[test]
fn labels_may_hold_anything_quoted() {
    let page = b"vllm:num_requests_running{model_name=\"a}b\\\"} 9\\\\\",x=\"{\",} 4 1700000000000\r\n\
        vllm:num_requests_waiting { engine = \"0\" } 2";
    let (reading, ignored) = scan(vllm(), &[page]);
    assert_eq!((reading.running, reading.waiting, ignored), (Some(4), Some(2), 0));
}

/// Long lines are left out, those around them are read.
#[test]
fn endless_lines_do_not_take_memory() {
    let mut scanner = Scanner::new(vllm());
    scanner.feed(b"vllm:num_requests_running 1\nvllm:num_requests_waiting{x=\"");
    for _ in 0..100 {
        scanner.feed(&[b'y'; 4096]);
    }
    scanner.feed(b"\"} 5\nvllm:kv_cache_usage_perc 0.5\n");
    let (reading, _) = scanner.finish();
    assert_eq!((reading.running, reading.waiting, reading.kv_usage), (Some(1), None, Some(0.5)));
}

/// The scanner against a parser that splits the whole text by lines, at every boundary of two chunks.
#[test]
fn every_chunk_boundary_reads_the_same() {
    let text = page::vllm_page();
    let expected = page::by_lines(&text);
    assert_eq!(scan(vllm(), &[text.as_bytes()]).0, expected);
    assert!(expected.adapters.is_some() && expected.kv_tokens.is_some());
    // Boundaries matter around wanted lines; the others are sampled.
    let wanted: Vec<usize> =
        ["vllm:num_requests", "vllm:kv_cache_usage", "vllm:cache_config", "vllm:lora_requests"]
            .iter()
            .flat_map(|name| text.match_indices(name).map(|(at, _)| at))
            .collect();
    let near = |at: usize| wanted.iter().any(|start| (start.saturating_sub(2)..start + 400).contains(&at));
    for at in (0..=text.len()).filter(|at| near(*at) || at % 97 == 0) {
        let (a, b) = text.as_bytes().split_at(at);
        assert_eq!(scan(vllm(), &[a, b]).0, expected, "split at {at}");
    }
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(scan(vllm(), &bytes).0, expected, "byte by byte");
}

proptest! {
    /// Pages made of wanted and unwanted lines in any order and any chunks.
    #[test]
    fn the_scanner_agrees_with_a_line_parser(
        lines in proptest::collection::vec((0_usize..8, 0_u32..40, 0_u32..3), 0..40),
        size in 1_usize..60,
    ) {
        let text: String = lines.iter().map(|(kind, value, engine)| page::line(*kind, *value, *engine)).collect();
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let (mut read, mut expected) = (scan(vllm(), &chunks).0, page::by_lines(&text));
        // Ranks are added up in another order.
        let usage = [&mut read, &mut expected].map(|reading| reading.kv_usage.take());
        let [read_usage, expected_usage] = usage.map(|usage| usage.unwrap_or(-1.0));
        prop_assert!((read_usage - expected_usage).abs() < 1e-6, "{} {}", read_usage, expected_usage);
        prop_assert_eq!(read, expected);
    }

    /// Whatever the bytes, the scanner and the response reader only refuse.
    #[test]
    fn any_bytes_are_survived(data in proptest::collection::vec(any::<u8>(), 0..600), size in 1_usize..50) {
        let chunks: Vec<&[u8]> = data.chunks(size).collect();
        scan(None, &chunks);
        let mut response = Response::new();
        for chunk in chunks {
            if response.feed(chunk, &mut |_| ()).is_err() {
                break;
            }
        }
    }
}

/// Status, body and whether the connection may be kept.
type Read<B> = Result<(u16, B, bool), HttpError>;

fn read(data: &[u8], size: usize) -> Read<Vec<u8>> {
    let mut response = Response::new();
    let mut body = Vec::new();
    for chunk in data.chunks(size) {
        if response.feed(chunk, &mut |piece| body.extend_from_slice(piece))? {
            return Ok((response.status(), body, response.keeps_alive()));
        }
    }
    response.end()?;
    Ok((response.status(), body, response.keeps_alive()))
}

#[test]
fn responses_in_any_framing() {
    let table: [(&[u8], Read<&[u8]>); 14] = [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Ok((200, b"hello", true))),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", Ok((200, b"", true))),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: Close\r\n\r\nhi", Ok((200, b"hi", false))),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nhi", Ok((200, b"hi", false))),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nt: v\r\n\r\n",
            Ok((200, b"abc0123456789", true)),
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", Ok((200, b"until the end", false))),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nx", Ok((404, b"x", true))),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", Ok((200, b"x", true))),
        (b"HTTP/1.1 204 No Content\r\n\r\n", Ok((204, b"", true))),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", Err(HttpError::Truncated)),
        (b"HTTP/2 200 OK\r\n\r\n", Err(HttpError::Malformed)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n", Err(HttpError::Malformed)),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+3\r\nabc\r\n", Err(HttpError::Malformed)),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", Err(HttpError::LargeBody)),
    ];
    for (data, expected) in table {
        for size in [1, 2, 3, 7, data.len()] {
            let expected = expected.map(|(status, body, keep)| (status, body.to_vec(), keep));
            assert_eq!(read(data, size), expected, "{} by {size}", data.escape_ascii());
        }
    }
    let mut endless = b"HTTP/1.1 200 OK\r\n".to_vec();
    endless.resize(20_000, b'x');
    assert_eq!(read(&endless, 1_000), Err(HttpError::LongHead));
    let extra = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n";
    assert_eq!(read(extra, extra.len()), Ok((200, b"x".to_vec(), false)), "more than was asked for");
}
