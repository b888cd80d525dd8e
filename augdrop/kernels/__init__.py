"""Apply a plan to pixels: `dispatch` is the way in; compiled, plain torch and gradients lie behind it."""
