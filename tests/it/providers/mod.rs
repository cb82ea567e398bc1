//! Every kind and credential of every shipped provider: the happy path, each documented error,
//! and whatever their papers contradict themselves about. The real binary against the sandbox.

mod certiscan;
mod certn;
mod contract;
mod controlbyweb;
mod ipseity;
mod scantrust;
mod world;
