use super::*;

fn link() -> Arc<Link> {
    Arc::new(Link::new(timer::now()))
}

fn poll_order(link: &Link) -> Option<Order> {
    let mut cx = std::task::Context::from_waker(futures_util::task::noop_waker_ref());
    match Box::pin(link.next_order()).as_mut().poll(&mut cx) {
        Poll::Ready(order) => Some(order),
        Poll::Pending => None,
    }
}

#[test]
fn a_connection_that_became_busy_is_not_evicted() {
    let link = link();
    let underway = Underway::begin(&link);
    link.evict();
    assert!(link.is_leaving());
    assert_eq!(poll_order(&link), None);
    assert!(!link.is_leaving());
    drop(underway.finish());
    link.evict();
    assert_eq!(poll_order(&link), Some(Order::Close));
}

#[test]
fn force_outweighs_everything() {
    let link = link();
    let _underway = Underway::begin(&link);
    link.drain();
    assert_eq!(poll_order(&link), Some(Order::Drain));
    link.drain();
    link.force();
    assert_eq!(poll_order(&link), Some(Order::Close));
    assert_eq!(poll_order(&link), None);
}

#[test]
fn patience_ends_only_for_the_idle() {
    let link = link();
    assert_eq!(link.patience(Duration::ZERO), Patience::Never);
    let underway = Underway::begin(&link);
    assert!(matches!(link.patience(Duration::ZERO), Patience::Until(_)));
    drop(underway.finish());
    assert_eq!(link.patience(Duration::ZERO), Patience::Over);
    assert!(matches!(
        link.patience(Duration::from_mins(1)),
        Patience::Until(_)
    ));
}

#[test]
fn whoever_only_abandons_requests_is_cut_off() {
    let link = link();
    for _ in 0..MAX_ABANDONED {
        drop(Underway::begin(&link));
    }
    assert_eq!(poll_order(&link), None);
    drop(Underway::begin(&link).finish());
    drop(Underway::begin(&link));
    assert_eq!(poll_order(&link), None, "a finished one makes up for it");
    drop(Underway::begin(&link));
    assert_eq!(poll_order(&link), Some(Order::Close));
}
