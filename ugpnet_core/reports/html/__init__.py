"""An evaluation as a folder of web pages that opens from disk, with all its pictures.

Nothing is loaded from anywhere else: no network, no server.
"""

from ugpnet_core.reports.html.report import HtmlReport

__all__ = ["HtmlReport"]
