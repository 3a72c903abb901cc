package main

import (
	"context"
	"fmt"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

// handle answers `GET /hello/{name}`. Save a change, and the next request runs it.
func handle(_ context.Context, request events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	name, named := request.PathParameters["name"]
	if !named {
		name = "world"
	}
	return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: fmt.Sprintf("Hello, %s!\n", name)}, nil
}

func main() {
	lambda.Start(handle)
}
