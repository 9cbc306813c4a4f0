#!/usr/bin/env node
const USAGE = `usage: graft COMMAND [OPTIONS]

commands:
  train RUN.yaml      train an adapter as the run file says
  generate            answer prompts
  chat                talk to a model
  forward             logits, loss and gradients of given token ids
  plan RUN.yaml       GPU memory of a run, by kind, without a GPU
`;

process.stdout.write(USAGE);
