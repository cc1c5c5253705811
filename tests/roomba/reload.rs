//! Settings that change while the server runs.

use super::*;

fn reload(skyring: &mut Skyring, plan: &Plan) {
    plan.file();
    skyring.process.signal(Signal::HUP);
}

/// Each of them takes effect at once, also when the next pass would have been due in
/// a day.
#[test]
fn a_reload_takes_effect_without_waiting_for_the_next_pass() {
    let redis = Redis::start();
    put(&redis, "metrics.a", &records(&[-2000, -1000, 0]));
    let day = trimming(&redis).set("roomba.interval_s", 86_400);
    let off = day.clone().set("roomba.enabled", false);
    let mut skyring = off.start();
    assert_eq!(roomba(&skyring)["enabled"], false);
    let long = |records: usize| {
        eventually(&format!("{records} records were left"), || {
            let seen = redis.series("a").len() / 19;
            holds(seen == records, || format!("{seen}"))
        });
    };
    // On, and with a longer duration than by default here.
    let longer = day.clone().set("redis.full_duration_s", 1500);
    reload(&mut skyring, &longer);
    long(2);
    assert_eq!(roomba(&skyring)["enabled"], true);
    // A shorter one, for which the series is looked at again although not due.
    reload(&mut skyring, &day);
    long(1);
    // Off: what is old now stays. On again with another grace.
    reload(&mut skyring, &off);
    eventually("it is off", || {
        let status = roomba(&skyring);
        holds(status["enabled"] == false, || status.to_string())
    });
    put(&redis, "metrics.a", &records(&[-2000, -700, 0]));
    reload(&mut skyring, &day.clone().set("roomba.grace_s", 200));
    long(2);
    reload(&mut skyring, &day.clone().set("roomba.grace_s", 0));
    long(1);
    // The interval itself.
    let passes = count(&skyring, "passes");
    reload(&mut skyring, &day.set("roomba.interval_s", 1));
    wait_for_passes(&skyring, 3);
    assert!(count(&skyring, "passes") > passes);
    skyring.finish();
}

/// A namespace that is added is trimmed from then on.
#[test]
fn a_reload_adds_the_mini_namespace() {
    let redis = Redis::start();
    let mut pipe = redis::pipe();
    pipe.cmd("SET")
        .arg("mini.a")
        .arg(records(&[-200, 0]))
        .ignore();
    pipe.cmd("SADD")
        .arg("mini.unique_metrics")
        .arg("mini.a")
        .ignore();
    pipe.query::<()>(&mut redis.connection()).unwrap();
    let plan = trimming(&redis);
    let mut skyring = plan.start();
    wait_for_passes(&skyring, 2);
    assert_eq!(series(&redis, "mini.a").unwrap().len(), 2 * 19);
    let mini = plan
        .set("roomba.mini_namespace", "\"mini.\"")
        .set("roomba.mini_duration_s", 60);
    reload(&mut skyring, &mini);
    eventually("it was trimmed", || {
        let seen = series(&redis, "mini.a").unwrap().len();
        holds(seen == 19, || format!("{seen} bytes"))
    });
    skyring.finish();
}
