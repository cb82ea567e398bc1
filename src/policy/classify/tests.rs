use std::time::Duration;

use proptest::prelude::*;

use super::*;

const CALL: Asked = Asked { repeat_never: false, follow: false, breaker_open: false };
const NEVER: Asked = Asked { repeat_never: true, ..CALL };
const FOLLOW: Asked = Asked { follow: true, ..CALL };

fn wait() -> RetryAfter {
    RetryAfter::new(Duration::from_secs(9))
}

fn status(status: u16) -> Answer {
    Answer { status, ..Answer::default() }
}

fn verdict(answer: Answer, asked: Asked) -> Verdict {
    classify(&Ended::Answered(answer), asked)
}

fn retry(code: Code) -> Verdict {
    Verdict::Retry { code, counts_error: true }
}

fn unknown(code: Code) -> Verdict {
    Verdict::OutcomeUnknown { code }
}

fn dead(code: Code) -> Verdict {
    Verdict::Dead { code }
}

#[test]
fn statuses_by_who_asked() {
    let http = Code::Http;
    // status → repeatable, never-repeat
    let table = [
        (200, Verdict::Success, Verdict::Success),
        (204, Verdict::Success, Verdict::Success),
        (301, dead(Code::Redirected), dead(Code::Redirected)),
        (302, dead(Code::Redirected), unknown(Code::Redirected)),
        (303, dead(Code::Redirected), unknown(Code::Redirected)),
        (308, dead(Code::Redirected), dead(Code::Redirected)),
        (400, dead(http(400)), dead(http(400))),
        (401, Verdict::Unauthorized, Verdict::Unauthorized),
        (403, dead(http(403)), dead(http(403))),
        (404, dead(http(404)), dead(http(404))),
        (408, retry(http(408)), unknown(http(408))),
        (409, dead(http(409)), dead(http(409))),
        (
            410,
            Verdict::ProviderChanged { code: http(410) },
            Verdict::ProviderChanged { code: http(410) },
        ),
        (422, dead(http(422)), dead(http(422))),
        (425, retry(http(425)), retry(http(425))),
        (429, retry(Code::RateLimited), retry(Code::RateLimited)),
        (500, retry(http(500)), unknown(http(500))),
        (503, retry(http(503)), unknown(http(503))),
        (599, retry(http(599)), unknown(http(599))),
        (101, Verdict::RetryFew { code: http(101) }, unknown(http(101))),
        (999, Verdict::RetryFew { code: http(999) }, unknown(http(999))),
    ];
    for (code, repeatable, never) in table {
        assert_eq!(verdict(status(code), CALL), repeatable, "{code}");
        assert_eq!(verdict(status(code), NEVER), never, "{code}, never repeated");
    }
}

#[test]
fn retry_after_shuts_the_gate_only_where_a_retry_is_meant() {
    let after = |code| Answer { retry_after: Some(wait()), ..status(code) };
    let gate = |code| Verdict::Gate { wait: wait(), code };
    let table = [
        (429, gate(Code::RateLimited), gate(Code::RateLimited)),
        (503, gate(Code::Http(503)), gate(Code::Http(503))),
        (500, gate(Code::Http(500)), unknown(Code::Http(500))),
        (202, Verdict::Success, Verdict::Success),
        (301, dead(Code::Redirected), dead(Code::Redirected)),
        (400, dead(Code::Http(400)), dead(Code::Http(400))),
    ];
    for (code, repeatable, never) in table {
        assert_eq!(verdict(after(code), CALL), repeatable, "{code}");
        assert_eq!(verdict(after(code), NEVER), never, "{code}, never repeated");
    }
    let early = Answer { retry_when: true, ..after(400) };
    assert_eq!(verdict(early, CALL), gate(Code::NotReady));
}

#[test]
fn the_definition_decides_over_the_status() {
    let success = |ok| Answer { success: Some(ok), ..status(200) };
    let unparsable = Answer { unparsable: true, ..status(200) };
    let early = |code| Answer { retry_when: true, ..status(code) };
    let refused = |code| Answer { refused: true, ..status(code) };
    let table = [
        (success(true), Verdict::Success, Verdict::Success),
        (success(false), dead(Code::Unsuccessful), unknown(Code::Unsuccessful)),
        (
            Answer { success: Some(true), ..status(500) },
            retry(Code::Http(500)),
            unknown(Code::Http(500)),
        ),
        (unparsable, Verdict::RetryFew { code: Code::Unparsable }, unknown(Code::Unparsable)),
        (Answer { unparsable: true, ..status(400) }, dead(Code::Http(400)), dead(Code::Http(400))),
        (early(400), retry(Code::NotReady), retry(Code::NotReady)),
        (early(200), retry(Code::NotReady), unknown(Code::NotReady)),
        (early(401), retry(Code::NotReady), retry(Code::NotReady)),
        (refused(400), Verdict::Refused, Verdict::Refused),
        (refused(401), Verdict::Refused, Verdict::Refused),
        (refused(500), Verdict::Refused, unknown(Code::LoginRefused)),
        (refused(429), retry(Code::RateLimited), retry(Code::RateLimited)),
        (
            Answer { maybe_refused: true, ..status(500) },
            Verdict::MaybeRefused { code: Code::Http(500) },
            unknown(Code::Http(500)),
        ),
        (
            Answer { maybe_refused: true, refused: true, ..status(500) },
            Verdict::Refused,
            unknown(Code::LoginRefused),
        ),
    ];
    for (answer, repeatable, never) in table {
        assert_eq!(verdict(answer, CALL), repeatable, "{answer:?}");
        assert_eq!(verdict(answer, NEVER), never, "{answer:?}, never repeated");
    }
}

#[test]
fn follows_suspect_a_changed_provider() {
    for code in [403, 404] {
        assert_eq!(verdict(status(code), FOLLOW), Verdict::Suspect { code: Code::Http(code) });
    }
    assert_eq!(verdict(status(400), FOLLOW), dead(Code::Http(400)));
}

#[test]
fn what_never_left_is_always_sent_again() {
    for (what, code) in
        [(NotSent::Dns, Code::Dns), (NotSent::Connect, Code::Connect), (NotSent::Tls, Code::Tls)]
    {
        assert_eq!(classify(&Ended::NotSent(what), CALL), retry(code));
        assert_eq!(classify(&Ended::NotSent(what), NEVER), retry(code));
    }
}

#[test]
fn a_lost_answer_is_a_guess() {
    for (what, code) in [
        (Ambiguous::Timeout, Code::Timeout),
        (Ambiguous::Reset, Code::Reset),
        (Ambiguous::Truncated, Code::Truncated),
        (Ambiguous::Unreadable, Code::Unreadable),
    ] {
        assert_eq!(classify(&Ended::Ambiguous(what), CALL), retry(code));
        assert_eq!(classify(&Ended::Ambiguous(what), NEVER), unknown(code));
    }
}

#[test]
fn nothing_counts_while_the_breaker_is_open() {
    let asked = Asked { breaker_open: true, ..CALL };
    for ended in [
        Ended::Answered(status(502)),
        Ended::NotSent(NotSent::Dns),
        Ended::Ambiguous(Ambiguous::Timeout),
    ] {
        assert!(matches!(classify(&ended, asked), Verdict::Retry { counts_error: false, .. }));
    }
}

#[test]
fn signs_of_life() {
    let answered = |answer| health(&Ended::Answered(answer));
    assert_eq!(health(&Ended::NotSent(NotSent::Dns)), Health::Unreachable);
    assert_eq!(health(&Ended::Ambiguous(Ambiguous::Timeout)), Health::Failing);
    for (code, expected) in [
        (200, Health::Up),
        (400, Health::Up),
        (401, Health::Up),
        (408, Health::Failing),
        (429, Health::Failing),
        (500, Health::Failing),
        (503, Health::Failing),
    ] {
        assert_eq!(answered(status(code)), expected, "{code}");
    }
    assert_eq!(answered(Answer { refused: true, ..status(500) }), Health::Up);
    assert_eq!(answered(Answer { retry_after: Some(wait()), ..status(429) }), Health::Up);
}

proptest! {
    /// The rule above all others: a never-repeat request is sent again only after an answer that
    /// says that it was not executed.
    #[test]
    fn never_twice_on_a_guess(
        status: u16, after: bool, success: Option<bool>,
        [retry_when, refused, maybe_refused, unparsable]: [bool; 4], [follow, breaker_open]: [bool; 2],
    ) {
        let retry_after = after.then(wait);
        let answer = Answer {
            status, retry_after, success, retry_when, refused, maybe_refused, unparsable,
        };
        let got = verdict(answer, Asked { repeat_never: true, follow, breaker_open });
        let not_executed = (300..=499).contains(&status) && ![302, 303, 408].contains(&status)
            || (status == 503 && after);
        if !not_executed {
            let safe = matches!(got, Verdict::Success | Verdict::OutcomeUnknown { .. });
            prop_assert!(safe, "{got:?}");
        }
        if got == Verdict::Success {
            prop_assert!((200..=299).contains(&status) && success != Some(false) && !unparsable);
        }
    }
}
