// Weights wait in workgroup memory as they are multiplied.
alias Staged = vec4f;
