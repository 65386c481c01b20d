//! How long messages travel.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::ChaCha12Rng;

/// A model of the delay of one message over one link. Each link keeps its order
/// whatever the model says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delay {
    /// Always the mean.
    Unit,
    /// Evenly from nothing to twice the mean.
    Uniform,
    /// Exponential: mostly short, sometimes long.
    Exponential,
    /// Each link has a delay of its own, spread evenly on a logarithmic scale 1:100.
    Spread,
    /// Each message takes either next to nothing or a hundred times the mean: late
    /// copies overtake early ones wherever they can.
    Adversarial,
}

impl Delay {
    /// Every model, for tests that want them all.
    pub const ALL: [Self; 5] =
        [Self::Unit, Self::Uniform, Self::Exponential, Self::Spread, Self::Adversarial];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unit => "unit",
            Self::Uniform => "uniform",
            Self::Exponential => "exponential",
            Self::Spread => "spread",
            Self::Adversarial => "adversarial",
        }
    }

    /// The delay of one message, given the `mean` and what is `fixed` for its link
    /// (0 to 1).
    #[must_use]
    pub fn draw(self, mean: Duration, fixed: f64, rng: &mut ChaCha12Rng) -> Duration {
        let factor = match self {
            Self::Unit => 1.0,
            Self::Uniform => rng.random_range(0.0..2.0),
            Self::Exponential => -(1.0 - rng.random::<f64>()).ln(),
            Self::Spread => 10f64.powf(2.0 * fixed - 1.0),
            Self::Adversarial if rng.random_bool(0.3) => 100.0 * rng.random::<f64>(),
            Self::Adversarial => 0.01 * rng.random::<f64>(),
        };
        mean.mul_f64(factor)
    }
}
