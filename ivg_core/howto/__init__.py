"""How-to: steps that are done one after the other, put together to a film with its chapters, subtitles and page."""
