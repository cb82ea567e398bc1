//! Definitions that do not load, and what is said about them.

use super::{mistakes::CALL, *};

/// The problems as `line: key: message`, without the path of the temporary folder.
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let problems = load(files).unwrap_err().0;
    let texts = problems.into_iter().map(|problem| {
        let name = problem.file.file_name().unwrap().to_string_lossy().into_owned();
        crate::diagnostic::Diagnostic { file: name.into(), ..problem }.to_string()
    });
    texts.collect()
}

/// The only problem of `acme.toml` with this text after the two lines of the head.
#[track_caller]
fn only(text: &str) -> String {
    let mut found = problems(&[("acme.toml", &format!("{HEAD}{text}"))]);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

#[test]
fn each_mistake_is_named_with_its_line_and_key() {
    for (head, text, expected) in mistakes::ALL {
        assert_eq!(only(&format!("{head}{text}")), *expected, "for\n{head}{text}");
    }
}

#[test]
fn all_problems_are_found_in_the_order_of_their_lines() {
    let text = "[secrets]\nkey = 5\n[jobs.a]\nshape = \"call\"\nrequest = { path = \"/{{ secrets.kee }}\" }\n\
                succes = \"1\"\n[jobs.b]\nshape = \"call\"\ntimeout = \"x\"\n";
    let found = problems(&[("acme.toml", &format!("{HEAD}{text}")), ("zeta.toml", "provider = 1")]);
    let places: Vec<_> = found.iter().map(|text| text.split(": ").take(2).collect()).collect();
    let expected: [Vec<&str>; 7] = [
        vec!["acme.toml:4", "secrets.key"],
        vec!["acme.toml:7", "jobs.a.request.path"],
        vec!["acme.toml:8", "jobs.a.succes"],
        vec!["acme.toml:9", "jobs.b"],
        vec!["acme.toml:11", "jobs.b.timeout"],
        vec!["zeta.toml:1", "`title` is missing"],
        vec!["zeta.toml:1", "provider"],
    ];
    let sorted = |mut places: Vec<Vec<&str>>| -> Vec<String> {
        places.sort_by_key(|place| place[0].starts_with("zeta"));
        places.into_iter().map(|place| place.join(" ")).collect()
    };
    let mut found = sorted(places);
    found[5..].sort_unstable();
    assert_eq!(found, sorted(expected.to_vec()));
}

#[test]
fn broken_toml_is_reported_once_and_not_again_by_those_who_refer_to_it() {
    let acme = format!("{HEAD}{CALL}[[jobs.k.then]]\nkind = \"zeta.k\"\n");
    let found = problems(&[("acme.toml", &acme), ("zeta.toml", "provider = \"zeta\"\n= 5\n")]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("zeta.toml:2: "), "{found:?}");
}

#[test]
fn a_key_given_twice_is_a_problem() {
    let found = only("timeout = \"1s\"\ntimeout = \"2s\"");
    assert!(found.starts_with("acme.toml:4: "), "{found}");
}

#[test]
fn a_file_is_named_after_its_provider() {
    let text = HEAD;
    assert_eq!(
        problems(&[("acme.toml", text), ("other.toml", text)]),
        [
            "other.toml:1: provider: the file of provider `acme` must be called `acme.toml`, which is \
          there too: one file per provider"
        ]
    );
    assert_eq!(
        problems(&[("other.toml", text)]),
        ["other.toml:1: provider: the file of provider `acme` must be called `acme.toml`"]
    );
}

#[test]
fn credentials_that_need_each_other_are_refused() {
    let way = |name: &str, other: &str| {
        format!(
            "[credentials.{name}]\nshape = \"exchange\"\nvalue = \"response\"\n\
             request = {{ path = \"/{{{{ credentials.{other} }}}}\" }}\n"
        )
    };
    let text = format!("{HEAD}{}{}", way("a", "b"), way("b", "a"));
    assert_eq!(
        problems(&[("acme.toml", &text)]),
        [
            "acme.toml:3: credentials.a: needs itself: a needs b needs a",
            "acme.toml:7: credentials.b: needs itself: b needs a needs b",
        ]
    );
}
