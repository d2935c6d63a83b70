"""The web pages of wsgw: their static files, and the header fields with which they are served.

The pages load nothing from another host and have no inline script or style, so that a strict
Content-Security-Policy holds. No file needs a build step: a browser runs the modules unchanged.

    assets       the files of a page, each with its media type and its ETag

    console/     the page of the handler ``wsgw_console`` (``listener.console``)
    status/      the scripts and the style of the status page (``ops.status_page``)
    theme.css    colours, type and controls of all pages, in light and dark
    icon.svg     the icon of all pages
"""
