//! Prints the `OpenAPI` document, for those who check it without a worker (`npm run lint`).

#![expect(clippy::print_stdout, reason = "printing is all that it does")]

fn main() {
    println!("{:#}", stepseal_protocol::api::document(env!("CARGO_PKG_VERSION")));
}
