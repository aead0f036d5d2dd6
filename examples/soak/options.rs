//! The command line: `--minutes N`, `--seed N`, `--clients N`.

/// The parameters of a run.
pub(crate) struct Options {
    pub(crate) minutes: u64,
    pub(crate) seed: u64,
    pub(crate) clients: usize,
}

impl Options {
    /// Reads pairs of a flag and a number.
    ///
    /// # Errors
    /// A flag is unknown, or its value is not a number above 0.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { minutes: 1, seed: 1, clients: 8 };
        while let Some(flag) = args.next() {
            let value = args.next().and_then(|value| value.parse::<u32>().ok());
            let value = value.filter(|value| *value > 0).ok_or(format!("{flag} needs a number above 0"))?;
            match flag.as_str() {
                "--minutes" => options.minutes = value.into(),
                "--seed" => options.seed = value.into(),
                "--clients" => options.clients = value as usize,
                _ => return Err(format!("{flag}: only --minutes, --seed and --clients are known")),
            }
        }
        Ok(options)
    }
}
