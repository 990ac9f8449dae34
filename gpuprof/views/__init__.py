"""Pictures: a table in; text, static HTML, an Axes or a Chrome trace out."""
