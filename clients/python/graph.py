"""Runs a LangGraph graph of two agents through the gateway, with no header of ours.

Usage: graph.py GATEWAY KEY. One agent asks over OpenAI's wire, the other over Anthropic's; what
joins them is that the second is told what the first found.
"""

import importlib.metadata
import sys
from typing import TypedDict

import anthropic
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph

gateway, key = sys.argv[1:]


class State(TypedDict):
    question: str
    found: str
    letter: str


def research(state):
    model = ChatOpenAI(model="researcher", base_url=f"{gateway}/openai/v1", api_key=key)
    answer = model.invoke([("system", "You find out where orders are."),
                           ("user", state["question"])])
    return {"found": answer.content}


def write(state):
    claude = anthropic.Anthropic(base_url=f"{gateway}/anthropic", api_key=key)
    answer = claude.messages.create(
        model="writer", max_tokens=99, system="You write letters to customers.",
        messages=[{"role": "user", "content": f"Write about this: {state['found']}"}])
    return {"letter": answer.content[0].text}


graph = StateGraph(State)
graph.add_node("research", research)
graph.add_node("write", write)
graph.add_edge(START, "research")
graph.add_edge("research", "write")
graph.add_edge("write", END)
state = graph.compile().invoke({"question": "Where is order W4482139?"})
if "Rotterdam" not in state["found"] or "Okafor" not in state["letter"]:
    sys.exit(f"the agents answered something else: {state}")
print(f"two agents answered: langgraph {importlib.metadata.version('langgraph')}")
