//! The controllers that look after nodes, endpoints, budgets and garbage, played on a scripted
//! world with the timelines that were recorded of the originals.

mod autoscalers;
mod budgets;
mod endpoints;
mod garbage;
mod legacy_endpoints;
mod nodes;
mod properties;
mod storage;
mod world;
