"""Ten readers of the library, without pause: they read and make books through all five gates.

A request fails if its answer is not the book that was asked for or made. Run by `.ci/library`.
"""

import itertools
import random

from locust import FastHttpUser, constant, task

GATES = ["g1", "g2", "g3", "g4", "g5"]
numbers = itertools.count(1)


class Reader(FastHttpUser):
    wait_time = constant(0)

    def on_start(self):
        self.made = []

    @task(9)
    def read(self):
        gate = random.choice(GATES)
        book = random.choice(self.made) if self.made else {"id": 1, "title": "Wild"}
        path = f"/api/almg/books/{gate}/{book['id']}"
        with self.client.get(path, name=f"GET {gate}", catch_response=True) as answer:
            check(answer, 200, book)

    @task(1)
    def make(self):
        gate = random.choice(GATES)
        number = next(numbers)
        book = {
            "title": f"A book under load, volume {number}",
            "authors": ["First Author", "Second Author"],
            "year": 2000 + number % 25,
            "publisher": "Locust",
        }
        path = f"/api/almg/books/{gate}"
        with self.client.post(path, json=book, name=f"POST {gate}", catch_response=True) as answer:
            made = check(answer, 201, book)
            if made:
                del made["source"]
                self.made.append(made)


def check(answer, status, wanted):
    """The book that was answered, if it is the wanted one; else the request has failed."""
    if answer.status_code != status:
        answer.failure(f"{answer.status_code}: {answer.text}")
        return None
    book = answer.json()
    wrong = {key: book.get(key) for key, value in wanted.items() if book.get(key) != value}
    if wrong:
        answer.failure(f"not the wanted book: {wrong}")
        return None
    answer.success()
    return book
