//! What senders and receivers write is text on the page, whatever it looks like.

use mojito_relay::model::State;

use crate::browser::{Looks, visit};
use crate::harness::{PLAIN, TestRelay, answer};

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_text_in_every_view() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = elsewhere.local_addr().unwrap();
    let hostile = format!(
        "\"><img class=hostile src=http://{address}/x onerror=alert(1)><script class=hostile>alert(2)</script>\
         <svg class=hostile onload=alert(3)><a class=hostile href=javascript:alert(4)>{{{{7*7}}}}</a>\u{202e}\u{0}"
    );
    let mut relay = TestRelay::start(PLAIN).await;
    relay
        .receivers
        .answer("app.test", [answer(422, &hostile), answer(403, &hostile)]);
    let body = |id: &str| {
        serde_json::json!({
            "id": format!("{id}{hostile}"), "status": "active", "interview_status": "completed",
            "processing_status": "completed", "candidate_external_id": hostile, hostile.clone(): hostile, "score": 1,
        })
        .to_string()
    };
    let event = relay.post("jobmojito", body("a")).await.json()["id"].clone();
    relay.ended(State::Dead, 1).await;
    relay.post("jobmojito", body("b")).await;
    relay.attempts(2).await;
    visit(&mut relay, Looks::default(), async |page, _| {
        page.until_it_shows("app is blocked.").await;
        page.until("document.querySelector('.reason').innerText.includes('onerror=alert(1)')").await;
        for (view, shown) in [
            ("#/", "tbody .reason"),
            ("#/events", "td.id"),
            ("#/dead", "tbody .reason"),
            (&*format!("#/events/{}", event.as_str().unwrap()), "dd"),
        ] {
            page.js(&format!("location.hash = '{view}'")).await;
            page.until(&format!(
                "[...document.querySelectorAll('{shown}')].some((one) => one.innerText.includes('onerror=alert(1)'))"
            ))
            .await;
            let wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth";
            assert_eq!(page.js(wide).await, false, "{view}");
            assert_eq!(page.js("document.querySelector('.hostile')").await, serde_json::Value::Null);
        }
        page.click_on("details.personal summary").await;
        page.click("What the receiver said").await;
        page.until("document.querySelector('pre.payload').innerText.includes('onerror=alert(1)')").await;
        assert_eq!(page.js("document.querySelector('.hostile')").await, serde_json::Value::Null);
        let asked = "performance.getEntriesByType('resource').map((one) => new URL(one.name).origin)\
                     .filter((origin) => origin !== location.origin)";
        assert_eq!(page.js(asked).await, serde_json::json!([]));
        assert!(page.client.get_alert_text().await.is_err(), "no dialog was opened");
    })
    .await;
    let nobody = futures_util::FutureExt::now_or_never(elsewhere.accept());
    assert!(nobody.is_none(), "the browser asked somebody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_some_other_way_would_not_run_either() {
    let mut relay = TestRelay::start(PLAIN).await;
    visit(&mut relay, Looks::default(), async |page, _| {
        page.until_it_shows("Everything is on its way.").await;
        let markup = "(() => { try { document.body.innerHTML = '<img>'; return 'taken'; } catch { return 'refused'; } })()";
        assert_eq!(page.js(markup).await, "refused");
        let inline = "(() => { const one = document.createElement('div'); \
                      try { one.setAttribute('onclick', 'window.ran = 1'); one.click(); } catch {} return window.ran ?? null; })()";
        assert_eq!(page.js(inline).await, serde_json::Value::Null);
        page.js("void fetch('http://127.0.0.1:9/').catch(() => { window.fetched = 'refused'; })").await;
        page.until("window.fetched === 'refused'").await;
    })
    .await;
}
