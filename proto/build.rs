//! Compiles the `.proto` files without `protoc`: protox is a compiler written in Rust.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=relight");
    let files = protox::compile(["relight/v1/agent.proto", "relight/v1/peer.proto"], ["."])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
