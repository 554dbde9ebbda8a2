//! Relays that share a store: who is alive, what each has, what one leaves word of for another.

use super::*;
use mojito_relay::model::{LaneState, Name};
use mojito_relay::store::{Commons, Held, LaneRecord, Presence, Told, UPKEEP};

async fn relays(count: usize) -> Vec<Home> {
    let url = postgres::shared().url();
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Home::at(url.clone()).await);
    }
    all
}

async fn leave(mut all: Vec<Home>) {
    let last = all.pop().expect("there is one");
    for mut home in all {
        home.close().await;
    }
    last.leave().await;
}

fn names(all: &[&str]) -> Vec<Name> {
    all.iter().map(|name| (*name).into()).collect()
}

fn knowing(all: &[&str]) -> Presence {
    Presence {
        knows: Arc::new(names(all)),
        ..Presence::default()
    }
}

fn commons(home: &Home) -> &dyn Commons {
    home.commons().expect("it is shared")
}

/// As when a relay was paused or killed a while ago.
async fn silence(home: &Home) {
    set(home, "none").await;
}

/// Says that a relay is alive; then nobody's time runs out because this machine is busy.
async fn hold(home: &Home, presence: Presence) -> Held {
    let held = commons(home).hold(presence).await.unwrap();
    set(home, "1 hour").await;
    held
}

/// Gives every relay that was alive a while ago more time, or takes it all.
async fn set(home: &Home, left: &str) {
    let Options::Postgres(_, url) = &home.options else {
        panic!("it is in a file");
    };
    let sql = match left {
        "1 hour" => {
            "UPDATE replica SET until = clock_timestamp() + interval '1 hour' WHERE until > clock_timestamp() - interval '1 minute'"
        }
        _ => "UPDATE replica SET until = clock_timestamp() - interval '1 hour'",
    };
    let client = postgres::connect(url).await;
    client.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn a_store_in_a_file_is_shared_with_nobody() {
    let home = Home::sqlite();
    assert!(home.commons().is_none());
    home.leave().await;
}

#[tokio::test]
async fn who_holds_is_alive_and_keeps_what_it_has() {
    let all = relays(2).await;
    let [a, b] = [0, 1].map(|at| commons(&all[at]));
    let first = hold(&all[0], knowing(&["ats", "crm"])).await;
    assert_eq!(first.replicas.len(), 1);
    assert!(first.lanes.is_empty());
    let lanes = names(&["ats", "crm", UPKEEP]);
    let taken = a.take(&lanes).await.unwrap();
    assert_eq!(taken.len(), 3);
    let second = hold(&all[1], knowing(&["crm"])).await;
    assert_eq!(second.replicas.len(), 2);
    let other = second.replicas.iter().find(|one| one.id == first.own);
    assert_eq!(other.unwrap().knows, Some(names(&["ats", "crm"])));
    assert_eq!(b.take(&lanes).await.unwrap().len(), 0, "they are another's");
    // Alive again before anybody took them: under the same numbers.
    silence(&all[0]).await;
    let held = hold(&all[0], knowing(&["ats", "crm"])).await;
    assert_eq!(held.lanes.len(), 3);
    for lease in &taken {
        let kept = held
            .lanes
            .iter()
            .find(|lane| lane.destination == lease.lane.destination);
        assert_eq!(kept.unwrap().fence, lease.fence);
    }
    // Not alive, and another took one.
    silence(&all[0]).await;
    hold(&all[1], knowing(&["crm"])).await;
    let crm = names(&["crm"]);
    assert!(b.take(&crm).await.unwrap()[0].fence > taken[1].fence);
    let held = hold(&all[0], knowing(&["ats", "crm"])).await;
    assert_eq!(held.lanes.len(), 2);
    assert!(a.take(&crm).await.unwrap().is_empty());
    leave(all).await;
}

#[tokio::test]
async fn what_is_given_back_is_free_at_once_and_has_another_number_then() {
    let all = relays(2).await;
    let [a, b] = [0, 1].map(|at| commons(&all[at]));
    let crm = names(&["crm"]);
    let first = a.take(&crm).await.unwrap()[0].fence;
    a.let_go(vec![("crm".into(), first)]).await.unwrap();
    let again = a.take(&crm).await.unwrap()[0].fence;
    assert!(again > first);
    // Only what is still had under that number is given back.
    a.let_go(vec![("crm".into(), first)]).await.unwrap();
    assert!(b.take(&crm).await.unwrap().is_empty());
    a.let_go(vec![("crm".into(), again)]).await.unwrap();
    assert!(b.take(&crm).await.unwrap()[0].fence > again);
    leave(all).await;
}

#[tokio::test]
async fn how_a_lane_stands_is_its_owner_s_to_say() {
    let all = relays(2).await;
    let [a, b] = [0, 1].map(|at| commons(&all[at]));
    let crm = names(&["crm"]);
    a.take(&crm).await.unwrap();
    let record = |reason: &str| LaneRecord {
        destination: "crm".into(),
        state: LaneState::Blocked,
        paused: false,
        reason: reason.to_owned(),
        since: at(1),
        stood_still: Duration::ZERO,
    };
    all[0].save_lane(record("first")).await.unwrap();
    silence(&all[0]).await;
    assert_eq!(b.take(&crm).await.unwrap()[0].lane.reason, "first");
    all[0].save_lane(record("late")).await.unwrap();
    let roll = a.roll().await.unwrap();
    let owned = &roll.lanes[0];
    assert_eq!(
        (&*owned.lane.destination, &*owned.lane.reason),
        ("crm", "first")
    );
    let owner = roll.replicas.iter().find(|one| Some(one.id) == owned.owner);
    assert!(owner.unwrap().alive);
    assert_ne!(owned.owner, Some(roll.own));
    leave(all).await;
}

#[tokio::test]
async fn a_wish_waits_for_whoever_has_the_lane_until_it_was_obeyed() {
    let all = relays(2).await;
    let [a, b] = [0, 1].map(|at| commons(&all[at]));
    let crm = names(&["crm"]);
    a.wish(&crm[0], true).await.unwrap();
    b.take(&crm).await.unwrap();
    let held = hold(&all[1], knowing(&["crm"])).await;
    let (first, paused) = held.lanes[0].wish.unwrap();
    assert!(paused);
    a.wish(&crm[0], false).await.unwrap();
    // What was obeyed is not what is wished by now.
    let obeyed = |wish: u64| Presence {
        obeyed: vec![wish],
        ..knowing(&["crm"])
    };
    let held = hold(&all[1], obeyed(first)).await;
    let (second, paused) = held.lanes[0].wish.unwrap();
    assert!(!paused && second > first);
    let held = hold(&all[1], obeyed(second)).await;
    assert_eq!(held.lanes[0].wish, None);
    leave(all).await;
}

#[tokio::test]
async fn an_erasure_is_answered_by_everybody_who_is_alive() {
    let all = relays(3).await;
    for home in &all {
        hold(home, knowing(&[])).await;
    }
    let a = commons(&all[0]);
    let number = a.ask_to_clear().await.unwrap();
    assert_eq!(a.uncleared(number).await.unwrap(), 2);
    assert_eq!(hold(&all[1], knowing(&[])).await.clear, number);
    let answer = Presence {
        cleared: number,
        ..knowing(&[])
    };
    hold(&all[1], answer).await;
    assert_eq!(a.uncleared(number).await.unwrap(), 1);
    silence(&all[2]).await;
    assert_eq!(
        a.uncleared(number).await.unwrap(),
        0,
        "it has no lane any more"
    );
    leave(all).await;
}

#[tokio::test]
async fn what_one_cries_the_others_hear_and_not_itself() {
    let all = relays(2).await;
    let [a, b] = [0, 1].map(|at| commons(&all[at]));
    let mut own = a.listen().await.unwrap();
    let mut other = b.listen().await.unwrap();
    // More than one cry holds.
    let many: Vec<Told> = (0..500)
        .map(|n| Told::Look(format!("destination-{n:04}").into()))
        .collect();
    a.cry(many.clone()).await.unwrap();
    b.cry(vec![Told::Leases]).await.unwrap();
    for told in many {
        assert_eq!(other.recv().await, Some(told));
    }
    assert_eq!(own.recv().await, Some(Told::Leases));
    leave(all).await;
}
