//! Who may: the token, other pages, other names. And how: by keyboard alone.

use fantoccini::key::Key;
use mojito_relay::model::State;

use crate::browser::{Looks, Page, visit};
use crate::harness::{PLAIN, TestRelay, answer, delivered, submitted};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_asks_for_the_token_and_keeps_it_nowhere() {
    let toml = format!("[admin]\ntoken = \"a-token-of-its-own\"\n{PLAIN}");
    let mut relay = TestRelay::start(&toml).await;
    visit(&mut relay, Looks::default(), async |page, _| {
        page.until("document.getElementById('token').open").await;
        page.fill("#token-value", "another-token").await;
        page.click("Use token").await;
        page.until_it_shows("That is not the token.").await;
        page.fill("#token-value", "a-token-of-its-own").await;
        page.press(Key::Enter).await;
        page.until_it_shows("Everything is on its way.").await;
        page.until("document.getElementById('link').innerText === 'live'").await;
        page.click("Pause app").await;
        page.click("Pause").await;
        page.until_it_shows("app is paused.").await;
        let kept = "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href, \
                    document.documentElement.outerHTML, document.getElementById('token-value').value])";
        let kept = page.js(kept).await;
        assert!(!kept.as_str().unwrap().contains("a-token-of-its-own"), "{kept}");
        page.click("Forget token").await;
        page.until("document.getElementById('token').open").await;
        page.click("Cancel").await;
        page.until_it_shows("Without the token the relay shows nothing.").await;
        page.click("Try again").await;
        page.until("document.getElementById('token').open").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_done_by_keyboard_alone() {
    let mut relay = TestRelay::start(PLAIN).await;
    relay
        .receivers
        .answer("app.test", [answer(422, "no"), answer(403, "revoked")]);
    relay.post("jobmojito", submitted("a", 1.0)).await;
    relay.ended(State::Dead, 1).await;
    relay.post("jobmojito", submitted("b", 1.0)).await;
    relay.attempts(2).await;
    visit(&mut relay, Looks::default(), async |page, relay| {
        page.until_it_shows("app is blocked.").await;
        page.press(Key::Tab).await;
        assert_eq!(page.js("document.activeElement.id").await, "skip");
        page.press(Key::Enter).await;
        assert_eq!(page.js("document.activeElement.id").await, "main");
        page.tab_to("button[aria-label='Resume app']").await;
        assert!(sees_focus(page).await);
        page.press(Key::Enter).await;
        relay.until("the delivery", delivered(1)).await;
        page.until("!document.querySelector('button[aria-label=\"Resume app\"]')")
            .await;
        let still = page
            .js("document.activeElement.getAttribute('aria-label')")
            .await;
        assert_eq!(still, "Pause app", "the focus stays in its row");

        page.js("document.getElementById('skip').focus()").await;
        page.tab_to("nav a[href='#/dead']").await;
        assert!(sees_focus(page).await);
        page.press(Key::Enter).await;
        page.until("document.querySelector('tr[data-key] input')")
            .await;
        page.tab_to("tr[data-key] input").await;
        page.press(Key::Space).await;
        page.until_it_shows("Replay 1 selected").await;
        page.js("document.getElementById('all').focus()").await;
        page.tab_to("#replay").await;
        page.press(Key::Enter).await;
        the_dialog_keeps_the_focus(page).await;
        page.press(Key::Escape).await;
        page.until(
            "!document.getElementById('confirm').open && document.activeElement.id === 'replay'",
        )
        .await;
        page.press(Key::Enter).await;
        page.tab_to("#confirm-yes").await;
        page.press(Key::Enter).await;
        page.until_it_shows("1 of 1 replayed.").await;
        relay.ended(State::Delivered, 2).await;
    })
    .await;
}

/// The element that has the focus is marked as such.
async fn sees_focus(page: &Page) -> bool {
    let style = "(({ outlineStyle, outlineWidth }) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2)\
                 (getComputedStyle(document.activeElement))";
    page.js(style).await == true
}

async fn the_dialog_keeps_the_focus(page: &Page) {
    page.until("document.getElementById('confirm').open").await;
    for _ in 0..6 {
        let inside = "document.activeElement === document.body || \
                      document.getElementById('confirm').contains(document.activeElement)";
        assert_eq!(page.js(inside).await, true);
        page.press(Key::Tab).await;
    }
    page.js("document.getElementById('confirm-no').focus()")
        .await;
}
