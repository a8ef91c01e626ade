//! Documents: structure, positions, recovery and budgets.

use super::*;

/// Renders each document: its value in a compact form, or its problem.
fn read(text: &str) -> Vec<String> {
    Documents::new(text)
        .map(|document| match document {
            Ok(document) => {
                let mut shown = show(&document.root);
                for problem in &document.problems {
                    shown.push_str(&format!(
                        " !{}:{} {}",
                        problem.at.line, problem.at.column, problem.message
                    ));
                }
                shown
            }
            Err(problem) => format!("error {}:{} {}", problem.at.line, problem.at.column, problem.message),
        })
        .collect()
}

fn show(node: &Node<'_>) -> String {
    match &node.content {
        Content::Scalar { .. } if node.is_null() => "null".into(),
        Content::Scalar { text, plain: true } => text.to_string(),
        Content::Scalar { text, plain: false } => format!("{text:?}"),
        Content::List(items) => format!("[{}]", items.iter().map(|i| show(i)).collect::<Vec<_>>().join(" ")),
        Content::Map(entries) => {
            let entries: Vec<_> = entries.iter().map(|e| format!("{}={}", e.key, show(&e.value))).collect();
            format!("{{{}}}", entries.join(" "))
        }
    }
}

#[test]
fn layouts() {
    for (text, expected) in [
        ("", &[] as &[&str]),
        ("# only a comment\n", &[]),
        ("---\n---\n# nothing\n---\n", &["null", "null", "null"]),
        ("a: 1\n---\nb: 2\n", &["{a=1}", "{b=2}"]),
        ("--- {a: [1, two, 'three']}\n...\n", &["{a=[1 two \"three\"]}"]),
        ("\u{feff}a: 1\n", &["{a=1}"]),
        ("a: 1\r\nb: 2\r\n", &["{a=1 b=2}"]),
        ("{\n\t\"a\": [1,\n\t\t2],\n\t\"b\": \"\\ud83d\\ude00\\/\"\n}\n", &["{a=[1 2] b=\"😀/\"}"]),
        ("a: !!str 12\nb: ! 13\n", &["{a=\"12\" b=\"13\"}"]),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", &["{a=\"x\\ny\\n\" b=\"x y\"}"]),
        ("base: &b {x: 1, y: 2}\nall:\n  <<: *b\n  y: 3\n", &["{base={x=1 y=2} all={y=3 x=1}}"]),
        ("a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y]}\n", &["{a={k=1} b={k=2 l=2} c={k=1 l=2}}"]),
        ("'<<': 1\n", &["{<<=1}"]),
    ] {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn problems_have_places_and_later_documents_are_read() {
    let text = "a: [1, 2\n---\nb: 1\nb: 2\n---\nc:\n\td: 1\n---\nd: *nowhere\n---\ne: !Sub x\n---\nf: ok\n";
    let read = read(text);
    assert!(read[0].starts_with("error 1:4 not valid YAML"), "{read:#?}");
    assert_eq!(read[1], "{b=1} !4:1 key `b` is there twice, first on line 3");
    assert!(read[2].starts_with("error 7:"), "{read:#?}");
    assert!(read[3].starts_with("error 9:4 not valid YAML"), "{read:#?}");
    assert!(read[4].contains("!11:9 a YAML tag"), "{read:#?}");
    assert_eq!(read[5..], ["{f=ok}"]);
}

#[test]
fn tabs_are_named() {
    let problem = Documents::new("a:\n\tb: 1\n").find_map(Result::err).unwrap();
    assert_eq!(problem.remedy, "indent with spaces", "{problem:?}");
}

#[test]
fn a_file_full_of_errors_is_given_up_on() {
    let text = "a: [\n---\n".repeat(10_000);
    assert_eq!(Documents::new(&text).count(), 20);
}

#[test]
fn aliases_that_blow_up_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..20 {
        let alias = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    let read = read(&text);
    assert_eq!(read.len(), 1);
    assert!(read[0].contains("the aliases of this document stand for more than 100000 values"), "{read:?}");
}

#[test]
fn nesting_is_bounded_also_through_aliases() {
    for text in ["[".repeat(10_000), "{a: ".repeat(10_000), "- ".repeat(10_000)] {
        let read = read(&text);
        assert!(read[0].contains("nested more than 64 levels deep"), "{}", read[0]);
    }
    let mut text = "a0: &a0 [x]\n".to_owned();
    for i in 1..200 {
        text.push_str(&format!("a{i}: &a{i} [*a{}]\n", i - 1));
    }
    assert!(read(&text)[0].contains("nested more than 64 levels deep"));
    assert!(read("a: &a [*a]\n")[0].contains("within the value that it names"));
}
