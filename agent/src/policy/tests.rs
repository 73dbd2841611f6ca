use super::*;

fn exchange(target: &str, headers: &str) -> Exchange {
    let request = format!("GET {target} HTTP/1.1\r\n{headers}\r\n");
    fixture::exchange(request, "HTTP/1.1 200 X\r\n\r\n")
}

/// What the policy does with one exchange.
fn decide(policy: &mut Policy, target: &str, headers: &str) -> Result<TraceContext, Skip> {
    let admitted = policy.admit(exchange(target, headers), &PolicyContext::default())?;
    let (_, trace) = policy.sample(admitted)?.into_parts();
    Ok(trace)
}

#[test]
fn the_callers_trace_goes_on() {
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let mut policy = Policy::new(&Config::default()).unwrap();
    let mut check = |headers: &str, expected: Option<(&str, &str)>| {
        let context = decide(&mut policy, "/", headers).unwrap();
        let found = context
            .parent
            .map(|parent| (context.trace.to_string(), parent.to_string()));
        let expected = expected.map(|(t, s)| (t.to_owned(), s.to_owned()));
        assert_eq!(found, expected, "{headers}");
        (context.trace, context.span)
    };
    let w3c = format!("traceparent: 00-{trace}-{span}-01\r\n");
    let both = Some((trace, span));
    check(&w3c, both);
    check(&format!("b3: {trace}-{span}-1\r\n"), both);
    check(
        &format!("X-B3-TraceId: {trace}\r\nX-B3-SpanId: {span}\r\n"),
        both,
    );
    check(&format!("traceparent: odd\r\nb3: {trace}-{span}\r\n"), both);
    check(&format!("b3: 1-1-1\r\n{w3c}"), both);
    let fresh: std::collections::HashSet<_> = [
        check("", None),
        check("", None),
        check(&format!("{w3c}{w3c}"), None),
        check(&format!("x-b3-traceid: {trace}\r\n"), None),
    ]
    .into_iter()
    .collect();
    assert_eq!(fresh.len(), 4);
    assert!(
        fresh
            .iter()
            .all(|(trace, span)| trace.0 != [0; 16] && span.0 != [0; 8])
    );
}

#[test]
fn what_is_not_kept_is_counted() {
    let config = Config {
        sampling_ratio: 0.25,
        ..Config::default()
    };
    let mut policy = Policy::new(&config).unwrap();
    for _ in 0..4000 {
        let _ = decide(&mut policy, "/a", "");
    }
    for _ in 0..10 {
        assert_eq!(decide(&mut policy, "/static/x", ""), Err(Skip::Path));
    }
    let counts = policy.counts();
    let sampled = counts.skipped[Skip::Sampling as usize];
    assert_eq!((counts.admitted, counts.kept + sampled), (4000, 4000));
    // 1000 ± 27 (one σ); ten σ either way.
    assert!((730..1270).contains(&counts.kept), "{}", counts.kept);
    assert_eq!(counts.skipped[Skip::Path as usize], 10);
}

#[test]
fn over_budget_it_keeps_less_and_comes_back() {
    let mut policy = Policy::new(&Config::default()).unwrap();
    policy.reduce(0.0);
    assert_eq!(decide(&mut policy, "/", "").err(), Some(Skip::Overload));
    policy.reduce(1.0);
    assert!(decide(&mut policy, "/", "").is_ok());
}

#[test]
fn a_reload_keeps_counts() {
    let mut policy = Policy::new(&Config::default()).unwrap();
    assert!(decide(&mut policy, "/", "").is_ok());
    let mut config = Config::default();
    for wrong in [1.5, -0.1, f64::NAN] {
        config.sampling_ratio = wrong;
        let error = policy.reload(&config).unwrap_err().to_string();
        assert!(error.contains("sampling_ratio"), "{error}");
    }
    assert!(decide(&mut policy, "/", "").is_ok());
    config.sampling_ratio = 0.0;
    policy.reload(&config).unwrap();
    assert_eq!(decide(&mut policy, "/", "").err(), Some(Skip::Sampling));
    assert_eq!(policy.counts().kept, 2);
}
