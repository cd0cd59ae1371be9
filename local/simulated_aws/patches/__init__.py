"""What is changed in moto 5.2, one function per change. Each says why, and names AWS's documentation of the behaviour.

tests/local_cloud/test_moto_patches.py shows the behaviour of moto as it is: a test there fails when a new moto no
longer needs the change. pyproject.toml pins moto to the minor version that these were tried with.
"""

from __future__ import annotations

from moto.core.config import default_user_config

from local.simulated_aws.patches import cloudformation, dynamodb, dynamodb_updates, requests, sqs, stepfunctions


def apply() -> None:
    """Called once per process, before moto is used."""
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    requests.list_methods_once()
    cloudformation.read_templates_as_json()
    cloudformation.create_state_machines_that_run()
    stepfunctions.call_functions_as_the_state_machine()
    stepfunctions.accept_a_task_token_once()
    stepfunctions.stop_executions_at_once()
    stepfunctions.parse_definitions_once()
    dynamodb.write_rows_without_the_serializer()
    dynamodb.query_one_partition()
    dynamodb.undo_transactions_by_row()
    dynamodb.split_conditions_once()
    dynamodb_updates.parse_update_expressions_once()
    dynamodb_updates.walk_trees_quickly()
    sqs.count_messages_only_when_asked()
    sqs.move_dead_letters()
