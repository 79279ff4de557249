# What CI runs.
check:
    .ci/run

# Format everything.
fmt:
    cargo fmt --all

# One package's tests: `just test synod-kernels`.
test package:
    cargo test --release --package {{package}}
