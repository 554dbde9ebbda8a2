//! Settings: files, environment and flags become typed settings, or findings that say what is wrong
//! where. Compiles no template and opens no socket.

mod alerts;
mod alone;
mod cross;
mod destinations;
mod encrypt;
mod environment;
mod finding;
mod form;
mod keep;
mod lanes;
mod layers;
mod locate;
mod oauth2;
mod presets;
mod reading;
mod renamed;
mod requests;
mod routes;
pub mod schema;
mod secret;
mod server;
mod settle;
mod sources;
mod traces;
mod trials;
mod url_text;
mod values;

pub use alone::{admin_alone, store_alone};
pub use environment::environment;
pub use finding::{Finding, Severity, closest};
pub use locate::Locator;
pub use presets::{About, OwnPreset, presets, presets_of};
pub use server::{LogFormat, LogSettings, StoreSettings, StoreUrl};
pub use traces::traces;
pub use trials::{Expected, Trial, Trials, trials_beside};

use std::path::{Path, PathBuf};

use serde_json::Value;

use self::layers::{Overlay, merge};
use self::locate::join;
use self::presets::Presets;
use self::reading::{Reading, Table};
use self::routes::{Known, KnownSource};
use crate::destination::Settings;
use crate::dispatch::LaneSettings;
use crate::http::{AdminSettings, ServerSettings};
use crate::model::Name;
use crate::route::Route;
use crate::source::Source;
use crate::store::Keep;

const DEFAULTS: &str = include_str!("defaults.toml");

/// What a configuration is made from.
#[derive(Clone)]
pub struct Inputs {
    /// The relay.toml.
    pub file: PathBuf,
    /// Names and values; [`environment`] has the process' own.
    pub environment: Vec<(String, String)>,
    /// Dotted keys and values, over everything else.
    pub flags: Vec<(String, String)>,
    pub secrets: Secrets,
}

/// Environment and flags can hold secrets.
impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inputs({})", self.file.display())
    }
}

/// Whether secret references are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    Read,
    /// They are not, and placeholders stand in. Certificate files are not looked at either.
    Skip,
}

/// Everything that an operator can say, typed.
#[derive(Debug)]
pub struct Config {
    pub server: ServerSettings,
    pub admin: AdminSettings,
    pub store: StoreSettings,
    pub keep: Keep,
    pub log: LogSettings,
    /// A change of one of [`Loaded::files`] is to take effect by itself.
    pub watch: bool,
    /// A digest of each key of the sections that only a restart changes, as written over the defaults.
    pub written: Value,
    /// Destinations that get alerts.
    pub alerts: Vec<Name>,
    /// In the order of the file, as are destinations and routes.
    pub sources: Vec<Source>,
    pub destinations: Vec<(Settings, LaneSettings)>,
    pub routes: Vec<Route>,
    /// The operator's own bodies to try things with; relative paths are resolved.
    pub samples_dir: Option<PathBuf>,
    /// What `relay check` expects of the rules.
    pub tests: Vec<Trial>,
    pub file: PathBuf,
    /// Hex of a digest of the file's text and its presets': the same texts have the same hash.
    pub hash: String,
}

/// A configuration that may be used.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// Doubts, none of them an error.
    pub warnings: Vec<Finding>,
    /// For findings about what is compiled from this later: templates and response rules.
    pub locator: Locator,
    /// What it was made from, to make it again.
    pub inputs: Inputs,
    /// Every file that was read for it: the relay.toml, presets, secrets, certificates.
    pub files: Vec<PathBuf>,
    /// The operator's own presets.
    pub own_presets: Vec<OwnPreset>,
}

/// Reads the file and everything over and under it. On failure every finding comes back, warnings too.
pub fn load(inputs: &Inputs) -> Result<Loaded, Vec<Finding>> {
    load_text(inputs, &text_of(&inputs.file)?)
}

fn text_of(file: &Path) -> Result<String, Vec<Finding>> {
    std::fs::read_to_string(file).map_err(|error| {
        let problem = format!("cannot be read: {}", form::why(&error));
        vec![Finding::of_file(file, problem).hint("name the file with --config PATH")]
    })
}

/// The same for a text that was read already.
pub fn load_text(inputs: &Inputs, text: &str) -> Result<Loaded, Vec<Finding>> {
    let file = inputs.file.display().to_string();
    let (written, mut locator) = locate::read(&file, text).map_err(|finding| vec![finding])?;
    let (defaults, _) = locate::read("defaults", DEFAULTS).expect("a test reads them");
    let (own, mut findings) = own_keys(inputs, &written, &mut locator);
    let mut presets = Presets::built_in();
    findings.extend(presets.read_own(&inputs.file, &own, &locator));
    let (found, own_presets) = presets.try_own(&defaults["destination"]);
    findings.extend(found);
    let layers = Layers {
        own,
        defaults,
        presets,
    };
    layers.lay_presets_under(&mut locator);
    let settled = layers.settled(&locator);
    let reading = Reading::new(
        &locator,
        &inputs.environment,
        inputs.secrets,
        &layers.presets,
    );
    for finding in findings {
        reading.report(finding);
    }
    let config = read(&reading, &settled, inputs, text);
    warn_of_substitutions(&reading, "", &layers.own);
    let mut files = vec![inputs.file.clone()];
    files.extend(layers.presets.own_files());
    files.extend(reading.files());
    let findings = reading.into_findings();
    match config {
        Some(config) if !findings.iter().any(Finding::is_error) => Ok(Loaded {
            config,
            warnings: findings,
            locator,
            inputs: inputs.clone(),
            files,
            own_presets,
        }),
        _ => Err(findings),
    }
}

/// What the operator wrote: the file, and over it environment and flags.
fn own_keys(inputs: &Inputs, written: &Value, locator: &mut Locator) -> (Value, Vec<Finding>) {
    let mut overlay = Overlay::over(written, locator);
    overlay.environment(&inputs.environment);
    overlay.flags(&inputs.flags);
    (merge(&[written, &overlay.values]), overlay.findings)
}

/// The operator's own keys, and what lies under them.
struct Layers {
    own: Value,
    defaults: Value,
    presets: Presets,
}

/// All layers laid over each other, block by block.
struct Settled {
    root: Value,
    sources: Vec<(String, Value)>,
    destinations: Vec<(String, Value)>,
    routes: Vec<Value>,
}

impl Layers {
    /// Findings about what a preset says belong to its file.
    fn lay_presets_under(&self, locator: &mut Locator) {
        let destinations = self.own.get("destinations").and_then(Value::as_object);
        for (name, own) in destinations.into_iter().flatten() {
            if let Some(preset) = own.get("preset").and_then(Value::as_str) {
                let files = self.presets.locators(preset);
                locator.lay_under(join("destinations", name), files);
            }
        }
    }

    fn settled(&self, locator: &Locator) -> Settled {
        let fixed = Value::Object(
            ["server", "admin", "store", "log", "reload", "alerts"]
                .map(|section| (section.to_owned(), self.defaults[section].clone()))
                .into_iter()
                .collect(),
        );
        let over = |under: &Value, own: &Value| match own {
            Value::Object(_) => merge(&[under, own]),
            other => other.clone(),
        };
        let named = |section: &str, settle: &dyn Fn(&Value) -> Value| {
            let blocks = self.own.get(section).and_then(Value::as_object);
            let mut blocks: Vec<(String, Value)> = blocks
                .into_iter()
                .flatten()
                .map(|(name, own)| (name.clone(), settle(own)))
                .collect();
            blocks.sort_by_key(|(name, _)| locator.offset(&join(section, name)));
            blocks
        };
        let routes = self.own.get("routes").and_then(Value::as_array);
        Settled {
            root: merge(&[&fixed, &self.own]),
            sources: named("sources", &|own| over(&self.defaults["source"], own)),
            destinations: named("destinations", &|own| {
                destinations::layered(&self.defaults["destination"], &self.presets, own)
            }),
            routes: routes
                .into_iter()
                .flatten()
                .map(|own| over(&self.defaults["route"], own))
                .collect(),
        }
    }
}

impl Settled {
    fn fixed(&self) -> Value {
        // A value may be a secret in clear text.
        let digest = |value: &Value| blake3::hash(value.to_string().as_bytes()).to_hex();
        let sections = ["server", "admin", "store", "log", "reload"].map(|section| {
            let keys = self.root[section].as_object().into_iter().flatten();
            let keys = keys.map(|(key, value)| (key.clone(), digest(value).as_str().into()));
            (section.to_owned(), Value::Object(keys.collect()))
        });
        Value::Object(sections.into_iter().collect())
    }
}

/// Reads every section, whatever the others hold.
fn read<'a>(
    reading: &'a Reading<'a>,
    settled: &'a Settled,
    inputs: &Inputs,
    text: &str,
) -> Option<Config> {
    let root = reading.table(String::new(), &settled.root, &schema::ROOT)?;
    check_shape(&root);
    root.leaf("presets_dir", form::TEXT);
    let server = root.table("server", &schema::SERVER);
    let server = server.and_then(|table| server::server(&table));
    let listen = server.as_ref().map(|server| server.listen);
    let admin = root.table("admin", &schema::ADMIN);
    let admin = admin.and_then(|table| server::admin(&table, listen));
    let store = root.table("store", &schema::STORE);
    let keep = store.as_ref().and_then(keep::keep);
    let store = store.and_then(|table| server::store(&table));
    let log = root.table("log", &schema::LOG);
    let log = log.and_then(|table| server::log(&table));
    let reload = root.table("reload", &schema::RELOAD);
    let watch = reload.and_then(|table| table.leaf("watch", form::SWITCH));
    let exposed = listen.is_some_and(|listen| !listen.ip().is_loopback());
    let known = Known {
        sources: read_sources(reading, settled, exposed),
        destinations: names(&settled.destinations),
    };
    let destinations = read_destinations(reading, settled);
    let routes = read_routes(reading, settled, &known);
    let alerts = root.table("alerts", &schema::ALERTS);
    let alerts = alerts.and_then(|table| alerts::alerts(&table, &known.destinations));
    let told = alerts.as_deref().unwrap_or_default();
    cross::check(reading, &routes, &known, told);
    values::check(reading, &settled.destinations);
    renamed::check(reading, &settled.destinations);
    let samples_dir = root.leaf("samples_dir", form::TEXT);
    let tests = trials::trials(&root, &known.names());
    let sources = known.sources.into_iter().map(|known| known.source);
    Some(Config {
        server: server?,
        admin: admin?,
        store: store?,
        keep: keep?,
        log: log?,
        watch: watch?,
        alerts: alerts?,
        written: settled.fixed(),
        sources: sources.collect::<Option<_>>()?,
        destinations: destinations.into_iter().collect::<Option<_>>()?,
        routes: routes.into_iter().collect::<Option<_>>()?,
        samples_dir: samples_dir.map(|path| beside(&inputs.file, &path)),
        tests,
        file: inputs.file.clone(),
        hash: hash(text, reading.presets),
    })
}

/// A path that is written relative to the folder of relay.toml.
pub fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

/// Blocks are read one by one; that they are blocks at all is seen here.
fn check_shape(root: &Table<'_>) {
    for section in ["sources", "destinations"] {
        if let Some(value) = root.value(section) {
            root.reading.free_table(section.to_owned(), value);
        }
    }
    if root.value("routes").is_some_and(|value| !value.is_array()) {
        let hint = "each route is a block that starts with [[routes]]";
        root.error("routes", "expected a list of tables", hint);
    }
}

fn names(blocks: &[(String, Value)]) -> Vec<&str> {
    blocks.iter().map(|(name, _)| name.as_str()).collect()
}

fn read_sources<'a>(
    reading: &'a Reading<'a>,
    settled: &'a Settled,
    exposed: bool,
) -> Vec<KnownSource<'a>> {
    let read = settled.sources.iter().map(|(name, value)| {
        let table = reading.table(join("sources", name), value, &schema::SOURCE);
        let source = table.and_then(|table| sources::source(&table, name, exposed));
        KnownSource { name, source }
    });
    read.collect()
}

fn read_destinations<'a>(
    reading: &'a Reading<'a>,
    settled: &'a Settled,
) -> Vec<Option<(Settings, LaneSettings)>> {
    let read = settled.destinations.iter().map(|(name, value)| {
        let path = join("destinations", name);
        let table = reading.table(path, value, &schema::DESTINATION)?;
        let settings = destinations::destination(&table, name);
        let lane = lanes::lane(&table);
        if reading.is_faulty(value.get("preset").and_then(Value::as_str)) {
            reading.forget_layers_below(&table.path);
        }
        Some((settings?, lane?))
    });
    read.collect()
}

fn read_routes<'a>(
    reading: &'a Reading<'a>,
    settled: &'a Settled,
    known: &Known<'_>,
) -> Vec<Option<Route>> {
    let read = settled.routes.iter().enumerate().map(|(at, value)| {
        let table = reading.table(locate::index("routes", at), value, &schema::ROUTE)?;
        routes::route(&table, at, known)
    });
    read.collect()
}

/// Warns where `${…}` stands in a text that takes no reference, such as a template.
fn warn_of_substitutions(reading: &Reading<'_>, path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                warn_of_substitutions(reading, &join(path, key), value);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                warn_of_substitutions(reading, &locate::index(path, at), item);
            }
        }
        Value::String(text) if form::substitution(text).is_some() && !reading.has_error(path) => {
            let problem = "`$…` is not filled in: it stays as it stands";
            let hint = form::instead_of_substitution(path);
            reading.report(reading.locator.warning(path, problem).hint(hint));
        }
        _ => {}
    }
}

/// The first 16 bytes of the BLAKE3 digest of the file's text and the own presets', in hex.
fn hash(text: &str, presets: &Presets) -> String {
    let mut digest = blake3::Hasher::new();
    digest.update(text.as_bytes());
    for part in presets.own_texts().flatten() {
        digest.update(b"\0").update(part.as_bytes());
    }
    let digest = digest.finalize();
    digest.to_hex().as_str().chars().take(32).collect()
}
