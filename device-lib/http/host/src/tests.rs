use super::*;

fn entry(values: &[(&str, Value)], start: usize) -> Entry {
    let values = values.iter().map(|(name, value)| (name.to_string(), Bound::One(value.clone()))).collect();
    Entry { values, place: Some(Place { source: 0, start, end: start + 1 }), ..Entry::default() }
}

fn route(path: &str, handler: &str, methods: &[&str], start: usize) -> Entry {
    let mut entry =
        entry(&[("path", Value::String(path.into())), ("handler", Value::Handler(handler.into()))], start);
    if !methods.is_empty() {
        let methods = methods.iter().map(|method| Value::Word(method.to_string())).collect();
        entry.values.insert("method".into(), Bound::Many(methods));
    }
    entry
}

fn input(routes: Vec<Entry>, files: Option<&[&str]>) -> Input {
    let index = Bound::Many(vec![Value::String("index.html".into())]);
    let index = Entry { values: BTreeMap::from([("name".into(), index)]), ..Entry::default() };
    let mut options = BTreeMap::from([("route".to_string(), routes), ("index".to_string(), vec![index])]);
    let mut offers = BTreeMap::new();
    if let Some(files) = files {
        options.insert("files".into(), vec![entry(&[("storage", Value::Instance("pages".into()))], 99)]);
        let files = files.iter().map(|name| (name.to_string(), name.as_bytes().to_vec())).collect();
        offers.insert("pages".to_string(), unik_catalogue::host::Offer { files: Some(files) });
    }
    Input::new("site", options, offers, "machine")
}

/// Message and place of each finding.
fn findings(input: &Input) -> Vec<(String, usize)> {
    let place = |finding: &Finding| match finding.at {
        At::Place(place) => place.start,
        _ => 0,
    };
    Http.check(input).into_iter().map(|finding| (finding.message.clone(), place(&finding))).collect()
}

#[test]
fn wrong_routes() {
    for (routes, message, start) in [
        (vec![route("count", "count", &[], 1)], "doesn't start with `/`", 1),
        (vec![route("/a", "x", &[], 1), route("/a", "y", &[], 2)], "another route answers `/a` already", 2),
        (vec![route("/a", "x", &[], 1), route("/a", "y", &["post"], 2)], "with every method", 2),
        (
            vec![route("/a", "x", &["get"], 1), route("/a", "y", &["post", "get"], 2)],
            "`GET` of `/a` is answered twice",
            2,
        ),
        (vec![route("/a/*", "x", &[], 1), route("/a/*", "y", &[], 2)], "another route answers", 2),
        (vec![route("/a*", "x", &[], 1)], "not at its end", 1),
        (vec![route("/*/b", "x", &[], 1)], "not at its end", 1),
        (vec![route("/a?b", "x", &[], 1)], "has no '?'", 1),
        (vec![route("/a%20b", "x", &[], 1)], "is encoded", 1),
        (vec![route("/a/../b", "x", &[], 1)], "no request asks", 1),
        (vec![route("/a", "x y", &[], 1)], "no Rust path", 1),
        (vec![route("/a", "x::", &[], 1)], "no Rust path", 1),
        (vec![route("/a", "fn", &[], 1)], "no Rust path", 1),
        (vec![route("/a", "self::x", &[], 1)], "no Rust path", 1),
        (vec![route("/a", "9x", &[], 1)], "no Rust path", 1),
    ] {
        let found = findings(&input(routes, None));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].0.contains(message) && found[0].1 == start, "{found:?} for {message}");
    }
    let good = vec![
        route("/a", "x", &["get"], 1),
        route("/a", "crate::api::y", &["post", "put"], 2),
        route("/a/*", "x", &[], 3),
        route("/é b", "x", &[], 4),
        route("/", "x", &[], 5),
    ];
    assert_eq!(findings(&input(good, None)), []);
}

#[test]
fn a_route_that_hides_a_file_is_a_warning() {
    let input = input(vec![route("/a", "x", &[], 1), route("/", "x", &[], 2)], Some(&["a", "b/c"]));
    assert_eq!(findings(&input), [("the route `/a` hides a file of the same path".to_string(), 1)]);
    assert!(Http.bake(&input).is_ok());
}

#[test]
fn other_slips() {
    let mut runtime = input(vec![], Some(&[]));
    runtime.offers.get_mut("pages").unwrap().files = None;
    assert!(findings(&runtime)[0].0.contains("known only when the image runs"));
    assert!(Http.bake(&runtime).is_err());
    for (name, message) in [("a/b", "no name of a file"), ("b", "no folder of `pages` has a file `b`")] {
        let mut index = input(vec![], Some(&["a", "b/c"]));
        index.options.insert("index".into(), vec![entry(&[("name", Value::String(name.into()))], 8)]);
        let found = findings(&index);
        assert!(found.len() == 1 && found[0].0.contains(message) && found[0].1 == 8, "{found:?}");
    }
    let mut index = input(vec![], Some(&["a", "b/c"]));
    index.options.insert("index".into(), vec![entry(&[("name", Value::String("c".into()))], 8)]);
    assert_eq!(findings(&index), []);
}

#[test]
fn what_is_baked() {
    let input = input(
        vec![
            route("/count", "count", &["get"], 1),
            route("/count", "api::reset", &["delete", "post"], 2),
            route("/api/*", "count", &[], 3),
            route("/api/deep/*", "api::reset", &[], 4),
        ],
        Some(&["index.html"]),
    );
    let baked = Http.bake(&input).unwrap();
    assert_eq!(baked.value, "Site");
    assert_eq!(baked.blobs["0.bin"], b"index.html");
    let compact: String = baked.items.split_whitespace().collect();
    for part in [
        r#""/count"=>matchmethod{::unik_http::Method::Get|::unik_http::Method::Head=>::unik_http::Found::Handler(0),"#,
        r#"::unik_http::Method::Delete|::unik_http::Method::Post=>::unik_http::Found::Handler(1),"#,
        r#"_=>::unik_http::Found::Other("DELETE, GET, HEAD, OPTIONS, POST"),"#.replace(' ', "").as_str(),
        r#"_ifpath.starts_with("/api/deep/")=>::unik_http::Found::Handler(1),_ifpath.starts_with("/api/")=>"#,
        "structRoutes{state_0:::unik_http::Shared<crate::count>,state_1:::unik_http::Shared<crate::api::reset>}",
        "1=><crate::api::resetas::unik_http::Handler>::call(request,&self.state_1).await,",
        "typeRoutes=Routes;",
        r#"("/",::unik_http::Entry::File(&FILE_0)),("/index.html",::unik_http::Entry::File(&FILE_0))"#,
    ] {
        assert!(compact.contains(part), "{part} in {compact}");
    }
}

#[test]
fn without_routes_there_is_nothing_of_them() {
    let baked = Http.bake(&input(vec![], Some(&["a"]))).unwrap();
    assert!(baked.items.contains("NoRoutes") && !baked.items.contains("States"), "{}", baked.items);
}
