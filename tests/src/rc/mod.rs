//! Rate control against pictures: real clips and synthetic scenes through the real controller, the real command
//! lists and the encoder of the model, judged by figures that do not come from the controller.

pub mod case;
pub mod curve;
pub mod film;
pub mod hrd;
pub mod judge;
pub mod plot;
pub mod run;
pub mod texture;
