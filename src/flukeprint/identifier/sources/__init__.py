"""Answers whole sources of photographs, of any form, so that a killed run goes on."""
