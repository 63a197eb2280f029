"""Healthy: aiohttp with a total timeout, one attempt and a static fallback."""

import asyncio
import json
import os

import aiohttp
from aiohttp import web

from web import FALLBACK, up_url

SESSION = web.AppKey("session", aiohttp.ClientSession)


async def fetch_items(session):
    async with session.get("/items") as answer:
        answer.raise_for_status()
        document = json.loads(await answer.read())
    items = document["items"]
    if len(items) != document["count"] or not all(isinstance(item["id"], int) for item in items):
        raise ValueError("not the whole list")
    return items


async def page(request):
    try:
        return web.json_response({"items": await fetch_items(request.app[SESSION]), "source": "primary"})
    except (aiohttp.ClientError, asyncio.TimeoutError, ValueError, KeyError, TypeError):
        return web.json_response({"items": FALLBACK, "source": "fallback"}, headers={"x-degraded": "1"})


async def healthz(request):
    return web.json_response({"ok": True})


async def session(app):
    async with aiohttp.ClientSession(up_url(), timeout=aiohttp.ClientTimeout(total=0.35)) as app[SESSION]:
        yield


app = web.Application()
app.cleanup_ctx.append(session)
app.add_routes([web.get("/page", page), web.get("/healthz", healthz)])
web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), backlog=512, print=None)
