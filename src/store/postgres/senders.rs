//! What is known of senders: when each was last heard, and which interviews have no result yet.

use super::Shared;
use super::fault::Fault;
use super::pool::View;
use super::rows::{self, get};
use crate::model::Name;
use crate::store::senders::MOST;
use crate::store::{Heard, Listen};

/// One answer for each source that is asked about.
pub(super) async fn heard(shared: &Shared, asked: &[Listen]) -> Result<Vec<Heard>, Fault> {
    let mut numbers = Vec::with_capacity(asked.len());
    for one in asked {
        numbers.push(shared.pools.name_id(&one.source).await?);
    }
    let view = shared.pools.view().await?;
    let mut all = Vec::with_capacity(asked.len());
    for (one, number) in asked.iter().zip(numbers) {
        all.push(answer(&view, one, number).await?);
    }
    Ok(all)
}

async fn answer(view: &View, asked: &Listen, number: Option<i32>) -> Result<Heard, Fault> {
    let mut heard = Heard {
        source: Name::clone(&asked.source),
        last_event_at: None,
        stuck: 0,
    };
    let by = rows::millis_of(asked.collected_by);
    if let Some(number) = number
        && let Some(row) = view.rows(HEARD, &[&number, &by, &MOST]).await?.first()
    {
        heard.last_event_at = rows::time_of(get(row, 0)?)?;
        heard.stuck = rows::count(get(row, 1)?)?;
    }
    Ok(heard)
}

pub(super) const HEARD: &str = "SELECT (SELECT max(at) FROM heard WHERE source = $1), \
     (SELECT count(*) FROM (SELECT 1 FROM awaited WHERE source = $1 AND since <= $2 LIMIT $3) AS stuck)";
