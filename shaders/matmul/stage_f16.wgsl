enable f16;
// Weights that are stored as f16 wait in workgroup memory as they were: half the bytes, and nothing is rounded.
alias Staged = vec4<f16>;
