//! Rights, limits and what is left of clients that are gone, with the real daemon and clients that are processes of this
//! and of another user.

mod app;
mod limits;
mod quarantine;
mod revocation;
mod unread;
