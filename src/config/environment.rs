//! The one place that reads the process' environment.

/// Every variable whose name and value are text, for [`super::Inputs`].
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
