//! Which relay is to have which lane, among those that are alive: a draw by relay and lane that comes out alike wherever
//! it is made, so that nobody has to be asked, and only the lanes of a relay that comes or goes change hands.

use std::collections::HashSet;

use crate::model::Name;
use crate::store::{Replica, UPKEEP};

/// What a relay knows when it decides.
pub(super) struct Scene<'a> {
    pub(super) own: u64,
    /// Who is alive.
    pub(super) replicas: &'a [Replica],
    /// What this relay could deliver to.
    pub(super) knows: &'a [Name],
    /// Lanes that it has, or has something under way of still.
    pub(super) here: &'a HashSet<Name>,
}

/// What follows for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) take: Vec<Name>,
    pub(super) give: Vec<Name>,
}

/// Which lanes to take, where they are free, and which to give back.
pub(super) fn plan(scene: &Scene<'_>) -> Plan {
    let mut plan = Plan::default();
    // Of each relay by its place, what it knows; None: the same as this one.
    let knows: Vec<Option<HashSet<&Name>>> = scene
        .replicas
        .iter()
        .map(|replica| Some(replica.knows.as_ref()?.iter().collect()))
        .collect();
    let upkeep: Name = UPKEEP.into();
    for lane in scene.knows.iter().chain([&upkeep]) {
        let can = |at: usize| {
            let knows = knows.get(at).and_then(Option::as_ref);
            **lane == *UPKEEP || knows.is_none_or(|knows| knows.contains(lane))
        };
        let able = scene.replicas.iter().enumerate();
        let able = able.filter(|(at, replica)| !replica.leaving && can(*at));
        let owner = owner(lane, able.map(|(_, replica)| replica.id));
        match (owner == Some(scene.own), scene.here.contains(lane)) {
            (true, false) => plan.take.push(lane.clone()),
            (false, true) => plan.give.push(lane.clone()),
            _ => {}
        }
    }
    plan
}

/// Which of these relays is to have a lane: the one whose draw for it is the highest.
pub fn owner(lane: &str, replicas: impl Iterator<Item = u64>) -> Option<u64> {
    replicas.max_by_key(|replica| (draw(*replica, lane), *replica))
}

fn draw(replica: u64, lane: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&replica.to_be_bytes());
    hasher.update(lane.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(count: usize) -> Vec<Name> {
        (0..count).map(|n| format!("lane-{n}").into()).collect()
    }

    fn alive(ids: &[u64]) -> Vec<Replica> {
        let replica = |id: &u64| Replica {
            id: *id,
            leaving: false,
            knows: None,
        };
        ids.iter().map(replica).collect()
    }

    fn planned(own: u64, replicas: &[Replica], knows: &[Name], here: &[Name]) -> Plan {
        let here = here.iter().cloned().collect();
        plan(&Scene {
            own,
            replicas,
            knows,
            here: &here,
        })
    }

    #[test]
    fn every_lane_has_one_owner_and_all_have_their_share() {
        let (knows, replicas) = (lanes(300), alive(&[3, 7, 12]));
        let mut all = Vec::new();
        for own in [3, 7, 12] {
            let share = planned(own, &replicas, &knows, &[]).take;
            assert!((70..130).contains(&share.len()), "{}", share.len());
            all.extend(share);
        }
        all.sort_unstable();
        let mut wanted = knows;
        wanted.push(UPKEEP.into());
        wanted.sort_unstable();
        assert_eq!(all, wanted);
    }

    #[test]
    fn only_the_lanes_of_who_goes_change_hands() {
        let knows = lanes(100);
        let had = planned(3, &alive(&[3, 7, 12]), &knows, &[]).take;
        let gone = planned(7, &alive(&[3, 7, 12]), &knows, &[]).take;
        let now = planned(3, &alive(&[3, 12]), &knows, &had);
        assert_eq!(now.give, Vec::<Name>::new());
        assert!(!now.take.is_empty());
        assert!(now.take.iter().all(|lane| gone.contains(lane)));
        // And it comes back the same way.
        let back = planned(
            3,
            &alive(&[3, 7, 12]),
            &knows,
            &[had, now.take.clone()].concat(),
        );
        assert_eq!((back.take, back.give), (Vec::new(), now.take));
    }

    #[test]
    fn who_leaves_gives_everything_and_is_given_nothing() {
        let knows = lanes(20);
        let mut replicas = alive(&[3, 7]);
        replicas[0].leaving = true;
        let leaving = planned(3, &replicas, &knows, &knows);
        assert_eq!((leaving.take, leaving.give), (Vec::new(), knows.clone()));
        assert_eq!(planned(7, &replicas, &knows, &[]).take.len(), 21);
    }

    #[test]
    fn a_lane_goes_to_one_that_knows_it() {
        let knows = lanes(20);
        let mut replicas = alive(&[3, 7]);
        replicas[1].knows = Some(knows[..5].to_vec());
        let own = planned(3, &replicas, &knows, &[]).take;
        assert!(knows[5..].iter().all(|lane| own.contains(lane)));
        assert!(!knows[..5].iter().all(|lane| own.contains(lane)));
    }
}
