//! A browser with a profile of its own, gone with the test, and the few things that a person does with it.

use std::io::{BufRead as _, BufReader};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::key::Key;
use fantoccini::wd::TimeoutConfiguration;
use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use crate::harness::TestRelay;

/// Nothing on the page takes as long as this unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A browser is large: one at a time.
static SEAT: Semaphore = Semaphore::const_new(1);

const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Light or dark, and how wide.
#[derive(Clone, Copy, Default)]
pub struct Looks {
    pub dark: bool,
    /// A telephone, 375 pixels wide.
    pub narrow: bool,
}

/// A page in a browser.
pub struct Page {
    pub client: Client,
}

/// chromedriver, killed when it is dropped.
struct Driver {
    child: Child,
    port: u16,
}

/// Opens the relay's dashboard and has `test` work with both.
pub async fn visit(
    relay: &mut TestRelay,
    looks: Looks,
    test: impl AsyncFnOnce(&Page, &mut TestRelay),
) {
    let base = format!("http://{}", relay.relay.admin);
    visit_at(&base, looks, async |page| test(page, relay).await).await;
}

/// Opens the dashboard at `base`, has `test` work with it, and puts the browser away however that ends.
pub async fn visit_at(base: &str, looks: Looks, test: impl AsyncFnOnce(&Page)) {
    let _seat = SEAT.acquire().await.unwrap();
    let profile = TempDir::new().unwrap();
    let driver = Driver::start();
    let client = ClientBuilder::new(HttpConnector::new())
        .capabilities(capabilities(&profile, looks))
        .connect(&format!("http://127.0.0.1:{}", driver.port))
        .await
        .expect("Chromium starts");
    let timeouts = TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), None);
    client.update_timeouts(timeouts).await.unwrap();
    client.goto(base).await.unwrap();
    let page = Page { client };
    let outcome = AssertUnwindSafe(test(&page)).catch_unwind().await;
    if outcome.is_err() {
        page.picture("of-a-failure").await;
    }
    let closed = page.client.close().await;
    drop(driver);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
    closed.unwrap();
}

fn capabilities(profile: &TempDir, looks: Looks) -> serde_json::Map<String, Value> {
    let scheme = u8::from(!looks.dark);
    let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
    flags.push(format!("--user-data-dir={}", profile.path().display()));
    flags.push(format!("--blink-settings=preferredColorScheme={scheme}"));
    flags.push("--window-size=1280,900".to_owned());
    let mut options = json!({ "args": flags });
    if looks.narrow {
        let metrics = json!({ "width": 375, "height": 812, "pixelRatio": 2.0, "touch": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    let Value::Object(capabilities) = json!({
        "goog:chromeOptions": options,
        "goog:loggingPrefs": { "browser": "ALL" },
        "unhandledPromptBehavior": "ignore",
    }) else {
        unreachable!("written as an object")
    };
    capabilities
}

impl Driver {
    fn start() -> Self {
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there: scripts/test.sh installs it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            child,
            port: port.expect("chromedriver says its port"),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Page {
    /// Waits until an expression of JavaScript is true on the page.
    pub async fn until(&self, condition: &str) {
        let script = format!(
            "const done = arguments[0];
             const look = () => {{
               let yes = false;
               try {{ yes = Boolean({condition}); }} catch {{}}
               if (yes) done(true); else setTimeout(look, 20);
             }};
             look();"
        );
        let seen = self.client.execute_async(&script, Vec::new()).await;
        if let Err(error) = seen {
            let text = self.js("document.body.innerText").await;
            panic!("waited in vain for {condition}: {error}; the page says {text}");
        }
    }

    /// Waits until the page shows `text`.
    pub async fn until_it_shows(&self, text: &str) {
        let text = Value::from(text);
        self.until(&format!("document.body.innerText.includes({text})"))
            .await;
    }

    /// What an expression of JavaScript is on the page.
    pub async fn js(&self, expression: &str) -> Value {
        let script = format!("return {expression};");
        self.client.execute(&script, Vec::new()).await.unwrap()
    }

    /// The text of the first element that fits, as it is shown.
    pub async fn text(&self, css: &str) -> String {
        let css = Value::from(css);
        let text = self
            .js(&format!("document.querySelector({css})?.innerText ?? null"))
            .await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks the button or link of that name. A row may be renewed in between: then it is looked for again.
    pub async fn click(&self, name: &str) {
        let named = format!(
            "//*[self::button or self::a or self::summary][@aria-label=\"{name}\" or normalize-space()=\"{name}\"][ancestor::dialog[@open] or not(//dialog[@open])]"
        );
        self.click_at(Locator::XPath(&named)).await;
    }

    /// Clicks what `css` finds.
    pub async fn click_on(&self, css: &str) {
        self.click_at(Locator::Css(css)).await;
    }

    async fn click_at(&self, place: Locator<'_>) {
        loop {
            let found = self.client.wait().at_most(PATIENCE).for_element(place);
            let found = found
                .await
                .unwrap_or_else(|error| panic!("{place:?}: {error}"));
            match found.click().await {
                Ok(()) => return,
                Err(error) if is_stale(&error) => {}
                Err(error) => panic!("{place:?}: {error}"),
            }
        }
    }

    /// Types into the field that `css` finds.
    pub async fn fill(&self, css: &str, text: &str) {
        let field = self.client.find(Locator::Css(css)).await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Presses a key wherever the focus is.
    pub async fn press(&self, key: Key) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(&key.to_string()).await.unwrap();
    }

    /// Presses Tab until an element that fits `css` has the focus.
    pub async fn tab_to(&self, css: &str) {
        for _ in 0..60 {
            let css = Value::from(css);
            if self
                .js(&format!("document.activeElement.matches({css})"))
                .await
                == true
            {
                return;
            }
            self.press(Key::Tab).await;
        }
        panic!("{css} is not reached by Tab");
    }

    /// A picture of the whole page, in the build's folder for a person to look at.
    pub async fn picture(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
        std::fs::create_dir_all(&folder).unwrap();
        if let Ok(image) = self.client.screenshot().await {
            std::fs::write(folder.join(format!("{name}.png")), image).unwrap();
        }
    }
}

fn is_stale(error: &fantoccini::error::CmdError) -> bool {
    error.is_stale_element_reference()
}
