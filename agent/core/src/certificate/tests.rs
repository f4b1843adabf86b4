use super::*;

const NEVER: u64 = u64::MAX;
const MADE: u64 = 1_800_000_000;
const TWO_MINUTES: Duration = Duration::from_secs(120);

fn lived(life: u64) -> Lifetime {
    Lifetime { made: MADE, ends: MADE + life }
}

fn used(number: u8, life: u64) -> Used {
    Used { which: Fingerprint([number; 32]), lifetime: lived(life) }
}

#[test]
fn the_life_is_a_setting_of_the_cluster() {
    let mut settings = Settings::default();
    assert_eq!(life_of(&settings), LIFE);
    assert!(settings.set("identity.certificate_life", "2m").is_ok());
    assert_eq!(life_of(&settings), TWO_MINUTES);
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life() {
    for life in [120, 3600, 90 * DAY, 365 * DAY] {
        let due = |now| renewal(lived(life), Duration::from_secs(life), NEVER, now);
        assert_eq!(due(MADE), Renewal::NotDue);
        assert_eq!(due(MADE + life / 3 * 2 - 1), Renewal::NotDue);
        assert_eq!(due(MADE + life / 3 * 2), Renewal::Due(Why::Age));
        // However long the node was off.
        assert_eq!(due(MADE + life * 100), Renewal::Due(Why::Age));
    }
}

#[test]
fn a_shorter_life_makes_a_renewal_due_at_once_and_only_once() {
    let present = lived(90 * DAY);
    assert_eq!(renewal(present, TWO_MINUTES, NEVER, MADE + 5), Renewal::Due(Why::TooLong));
    let next = Lifetime { made: MADE + 5, ends: MADE + 5 + 120 };
    assert_eq!(renewal(next, TWO_MINUTES, NEVER, MADE + 6), Renewal::NotDue);
    // A longer one is for the next certificate.
    assert_eq!(renewal(next, LIFE, NEVER, MADE + 6), Renewal::NotDue);
}

#[test]
fn a_clock_that_is_behind_makes_no_certificate() {
    let due = |life, now| renewal(lived(90 * DAY), life, NEVER, now);
    for clock in [0, MADE - 301] {
        assert_eq!(due(LIFE, clock), Renewal::ClockBehind);
        assert_eq!(due(TWO_MINUTES, clock), Renewal::ClockBehind);
    }
    // Members' clocks may differ by this much, and who admits a node makes its certificate.
    assert_eq!(due(LIFE, MADE - 300), Renewal::NotDue);
    // Once it is set right, all goes on.
    assert_eq!(due(LIFE, MADE + 100 * DAY), Renewal::Due(Why::Age));
}

#[test]
fn at_the_end_of_the_ca_nothing_is_renewed_on_and_on() {
    let last = lived(90 * DAY);
    for now in [last.ends - 1, last.ends, last.ends + DAY] {
        for life in [LIFE, TWO_MINUTES] {
            assert_eq!(renewal(last, life, last.ends, now), Renewal::NotDue);
        }
    }
}

#[test]
fn dates_are_looked_at_often_enough_for_the_shortest_life() {
    assert_eq!(look_every(TWO_MINUTES), Duration::from_secs(5));
    assert_eq!(look_every(LIFE), Duration::from_secs(60));
    for minutes in 2..2000 {
        let life = Duration::from_secs(minutes * 60);
        assert!(look_every(life) * 8 <= life, "between two thirds and five sixths");
    }
}

#[test]
fn the_server_is_told_of_each_certificate_until_it_has_loaded_it() {
    let (first, second) = (used(1, 120), used(2, 120));
    let mut has = ServerHas::default();
    assert_eq!(has.next(first), ServerStep::Write);
    has.wrote(first);
    assert_eq!(has.next(first), ServerStep::Load, "what it has loaded is not known");
    has.has_loaded(first);
    assert_eq!(has.next(first), ServerStep::Nothing);
    assert_eq!(has.next(second), ServerStep::Write);
    has.wrote(second);
    assert_eq!(has.next(second), ServerStep::Load);
    // The try failed, and a third one was made meanwhile.
    assert_eq!(has.next(used(3, 120)), ServerStep::Write);
}

fn standing() -> Standing {
    let has = ServerHas { written: Some(used(1, 600)), loaded: Some(used(1, 600)) };
    Standing {
        newest: lived(600),
        life: Duration::from_secs(600),
        ca_ends: NEVER,
        renewal_failed: false,
        server: Some(has),
        server_failed: false,
    }
}

#[test]
fn nobody_is_warned_of_certificates_that_are_renewed_in_time() {
    for now in [MADE - 300, MADE, MADE + 400, MADE + 499] {
        assert_eq!(standing().worries(now), []);
    }
}

#[test]
fn past_five_sixths_of_its_life_each_certificate_in_use_is_named() {
    let ends = MADE + 600;
    let both = [Worry::AgentNearEnd { ends }, Worry::ServerNearEnd { ends }];
    assert_eq!(standing().worries(MADE + 500), both);
    // The agent has a new one, and the server has not loaded it.
    let newest = Lifetime { made: MADE + 450, ends: MADE + 1050 };
    let told = Standing { newest, ..standing() };
    assert_eq!(told.worries(MADE + 500), [Worry::ServerNearEnd { ends }]);
    // A server with certificates of its own is left alone.
    assert_eq!(Standing { server: None, ..told }.worries(MADE + 500), []);
}

#[test]
fn a_failure_is_told_at_once_and_once() {
    let failed = Standing { renewal_failed: true, server_failed: true, ..standing() };
    let ends = MADE + 600;
    let both = [Worry::NotRenewed { ends }, Worry::NotLoaded { ends: Some(ends) }];
    assert_eq!(failed.worries(MADE + 401), both);
    assert_eq!(failed.worries(MADE + 599), both);
    let unknown = Standing { server: Some(ServerHas::default()), ..failed };
    let unknown = Standing { renewal_failed: false, ..unknown };
    assert_eq!(unknown.worries(MADE), [Worry::NotLoaded { ends: None }]);
}

#[test]
fn a_wrong_clock_and_the_end_of_the_ca_are_told() {
    assert_eq!(standing().worries(0), [Worry::ClockBehind { made: MADE }]);
    let ends = MADE + 364 * DAY;
    let told = Standing { ca_ends: ends, ..standing() };
    assert_eq!(told.worries(MADE), [Worry::CaNearEnd { ends }]);
}
